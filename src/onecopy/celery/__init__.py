"""One copy under Celery's prefork pool, and its children as job workers.

`celery -A app:shared.celery worker` imports this module when it imports what its app asks for
(`engines.celery_app`). From then on:

- the main process loads the resident datasets and seals the heap before the first child is forked;
- each child runs attempts by the rules of a job worker (`child`): it claims a job in the store when
  Celery hands it the job's message, and records what became of it;
- a process beside the pool, the *keeper*, does what the supervisor and the job workers of
  `onecopy run` do for all: it keeps leases alive, kills who exceeds a limit, records losses,
  sweeps, publishes what is due and delivers webhooks.

parent.py      the main process: what is set up there, and the watch over its children
keeper.py      the process beside the pool
children.py    the children of the pool, as the keeper watches them
publishing.py  what the keeper publishes: what is due, and what was never published
consumer.py    receives messages, and survives the loss of its connection
child.py       a child of the pool
records.py     the store as the main thread of a child uses it
task.py        a task of ours as Celery knows it
wholeness.py   messages that Celery cannot read
adopted.py     follows tasks of Celery's own that were adopted
"""

from onecopy.celery.parent import install

install()
