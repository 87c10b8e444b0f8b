"""Run real Kafka (KRaft), Redis and PostgreSQL without containers: folders and ports of one's choice, stopped by pid.

    python -m infra.services kafka start --data build/kafka --port 9092 [--nodes 3]
    python -m infra.services redis start --data build/redis --port 6379 [--aof everysec] [--password SECRET] [--tls]
    python -m infra.services postgres start --data build/postgres --port 5432 [--sync] [--password SECRET]
    python -m infra.services kafka|redis|postgres stop|kill|status --data FOLDER

`start` returns when the service answers and prints one JSON line with its address; port 0 picks a free one. What it
needs is installed by `infra/services.sh install`. Standard library only.
"""

from infra.services.kafka_server import KafkaServer
from infra.services.postgres_server import PostgresServer
from infra.services.process import INSTALL, ServiceError, free_ports
from infra.services.redis_server import RedisServer

__all__ = ["INSTALL", "KafkaServer", "PostgresServer", "RedisServer", "ServiceError", "free_ports"]
