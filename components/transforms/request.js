/** Checks a reading and makes of it the request that the model takes. */
function request(message, metadata) {
  const reading = JSON.parse(message.data);
  if (!reading.device) {
    throw new Error("the reading names no device");
  }
  if (Number.isNaN(Date.parse(reading.time))) {
    throw new Error(`${reading.device}: the time ${reading.time} is none`);
  }
  const values = SENSORS.map((sensor) => {
    if (!Number.isFinite(reading[sensor])) {
      throw new Error(`${reading.device}: ${sensor} is ${reading[sensor]}, no number`);
    }
    return reading[sensor];
  });
  return {
    data: JSON.stringify({ instances: [values] }),
    attributes: { ...message.attributes, device: reading.device, time: reading.time },
  };
}
