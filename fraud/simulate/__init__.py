"""Card-payment traffic with fraud, as a seeded source.

`stream(name).make(cards=..., days=..., seed=...)` gives `Traffic`, numpy columns in the order of `seen_at`;
`Traffic.transactions()` and `.labels()` make records of them, `SimulatedSource` puts them behind the source port.
"""

from fraud.simulate.demo import demo_source
from fraud.simulate.registry import Stream, stream, streams
from fraud.simulate.source import Pace, SimulatedSource
from fraud.simulate.traffic import Traffic, Verdicts

__all__ = ["Pace", "SimulatedSource", "Stream", "Traffic", "Verdicts", "demo_source", "stream", "streams"]
