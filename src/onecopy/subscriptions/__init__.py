"""Work that others send: messages of a queue or topic become jobs of a task, one for each.

subscription.py   what is subscribed to, and the task that its jobs are of
reading.py        what a message is: a CloudEvent, or plain JSON
taking.py         makes a job of it, once
rabbitmq.py       the messages of a queue
kafka.py          the messages of a topic
replies.py        the outcome, for whoever has sent the message
rabbitmq_replies.py, kafka_replies.py   to a queue, to a topic
subscribers.py    all of a process; in each job worker
"""

from onecopy.subscriptions.subscription import Subscription

__all__ = ["Subscription"]
