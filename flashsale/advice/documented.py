"""Queues that can't be run on a plain Debian, by what their documentation says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DocumentedQueue:
    """A queue as its documentation describes it; nothing of this was measured here."""

    title: str
    confirms: str
    when_full: str
    limits: str
    source: str


DOCUMENTED = {
    "kafka": DocumentedQueue(
        "Apache Kafka",
        "With `acks=all` after all replicas in sync have the record in memory. It recommends"
        " replicas rather than a flush for each record",
        "Has no bound that refuses: old segments are deleted by age or size, read or not",
        "Order within a partition; readers keep an offset, so each can read again",
        "https://kafka.apache.org/documentation/#brokerconfigs_log.flush.interval.messages",
    ),
    "sqs": DocumentedQueue(
        "Amazon SQS",
        "After it has stored the message in several availability zones",
        "Has no bound: a backlog is unlimited, and a message is deleted after 4 to 14 days",
        "FIFO: 300 calls a second for each action, 3,000 messages in batches, more in its mode of"
        " high throughput. Standard: nearly unlimited, order and single delivery not guaranteed",
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html",
    ),
    "pulsar": DocumentedQueue(
        "Apache Pulsar",
        "After a quorum of bookies has synced its journal (`journalSyncData`, by default)",
        "A backlog quota by size or age holds or refuses producers, or deletes old messages;"
        " it is checked every 60 s",
        "Brokers, bookies and a metadata store: three kinds of servers",
        "https://pulsar.apache.org/docs/next/cookbooks-retention-expiry/#backlog-quotas",
    ),
}
