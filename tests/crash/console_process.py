"""A console's projector and publisher as a process of their own, over topics in a folder: to be killed.

python -m tests.crash.console_process DATABASE FOLDER
"""

import sys
import threading
from pathlib import Path

import msgspec

from fraud.dashboard.projector import Projector
from fraud.dashboard.publisher import Publisher
from fraud.dashboard.reading import topics_of
from fraud.review.database import Database
from streaming.feeds.topic_log import TopicLog
from streaming.kafka.topics import Topics
from streaming.observe.logs import Log
from tests.crash.console_lines import PLAIN
from tests.review.taken import intake


def main(url: str, folder: str) -> None:
    """Run until killed."""
    database, topics, log = Database(url), Topics(), Log("console")
    place = Path(folder)
    feed = TopicLog(place).feed(topics_of(topics))
    projector = Projector(database, intake(database, **msgspec.structs.asdict(PLAIN)), feed, topics, log)
    publisher = Publisher(database, TopicLog(place / "out").outlet, topics, log)
    never = threading.Event()
    for work in (projector.run, publisher.run):
        threading.Thread(target=work, args=(never,)).start()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
