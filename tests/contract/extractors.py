"""Every implementation of the Extractor port."""

from features.extractor import OnlineExtractor
from streaming.replay.extraction import RecordingExtractor

EXTRACTORS: list[type] = [OnlineExtractor, RecordingExtractor]
