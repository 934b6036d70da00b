"""A Kafka topic as a Python Data Source of Spark, over confluent-kafka: PySpark brings no Kafka jar."""

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition

SECONDS = 10.0
"""How long to wait for a broker's answer."""


class Stretch(InputPartition):
    """Messages of one partition of the topic, from one offset to before another."""

    def __init__(self, partition, first, end):
        self.partition, self.first, self.end = partition, first, end


class Topic(DataSource):
    """Options ``brokers`` and ``topic``; one row a message, its content as text."""

    @classmethod
    def name(cls):
        return "topic"

    def schema(self):
        return "content string"

    def streamReader(self, schema):  # noqa: N802 - Spark's name
        return Messages(self.options["brokers"], self.options["topic"])


class Messages(DataSourceStreamReader):
    """Offsets by partition, which Spark keeps in its checkpoint."""

    def __init__(self, brokers, topic):
        self.brokers, self.topic = brokers, topic

    def consumer(self):
        from confluent_kafka import Consumer

        own = {"bootstrap.servers": self.brokers, "group.id": "spark", "enable.auto.commit": False}
        return Consumer(own | {"auto.offset.reset": "error"})

    def ends(self, which):
        """The first (0) or the next (1) offset of each partition."""
        from confluent_kafka import TopicPartition

        consumer = self.consumer()
        try:
            found = consumer.list_topics(self.topic, timeout=SECONDS).topics[self.topic].partitions
            return {
                str(one): consumer.get_watermark_offsets(TopicPartition(self.topic, one), SECONDS)[
                    which
                ]
                for one in found
            }
        finally:
            consumer.close()

    def initialOffset(self):  # noqa: N802
        return self.ends(0)

    def latestOffset(self):  # noqa: N802
        return self.ends(1)

    def partitions(self, start, end):
        return [Stretch(int(one), start.get(one, 0), end[one]) for one in end]

    def read(self, partition):
        from confluent_kafka import TopicPartition

        consumer, at = self.consumer(), partition.first
        try:
            consumer.assign([TopicPartition(self.topic, partition.partition, at)])
            while at < partition.end:
                message = consumer.poll(SECONDS)
                if message is None or message.error():
                    raise OSError(f"{self.topic}: nothing to read at {at}")
                at = message.offset() + 1
                if message.offset() < partition.end:
                    yield ((message.value() or b"").decode(errors="replace"),)
        finally:
            consumer.close()
