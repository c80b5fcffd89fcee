/** Puts what the model said into the message; drops what is not above LEAST_RISK. */
function score(message, metadata) {
  const risk = JSON.parse(message.data).model_output.predictions[0];
  if (LEAST_RISK > 0 && risk <= LEAST_RISK) {
    return null;
  }
  const { device, time } = message.attributes;
  return {
    data: JSON.stringify({ device, time, risk }),
    attributes: {
      ...message.attributes,
      risk: String(risk),
      model_versions: MODEL_VERSIONS,
    },
  };
}
