"""The policy pack. Only this file starts it: everything else can be imported."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.config import ConfigError, load
from policies.pack import Pack, policies
from policies.rules import RULES
from policies.serve import serve

try:
    configs = load({rule.id: rule.mandatory for rule in RULES})
except ConfigError as error:
    sys.exit(str(error))

serve("predictive-maintenance", policies(Pack(RULES, configs)))
