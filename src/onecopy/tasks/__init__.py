"""Tasks: functions that can be run here, or sent to a job worker.

task.py        Task: declared, called, sent
options.py     what is declared of a task, and said of one sending
signature.py   its parameters and result, to JSON and back, by its hints
fields.py      an object of fields of any type that can travel
sender.py      makes jobs of a task and sends them
handle.py      JobHandle: a job that was sent
registry.py    the tasks of one OneCopy
progress.py    Progress, injected
context.py     JobContext, injected; current_job; its id on log records
running.py     gets a task ready to run for a job
ways.py        the types of submit and call
"""

from onecopy.tasks.context import JobContext, current_job, log_job_ids
from onecopy.tasks.handle import JobHandle
from onecopy.tasks.progress import Progress
from onecopy.tasks.registry import Tasks
from onecopy.tasks.running import prepare
from onecopy.tasks.task import Task

__all__ = [
    "JobContext",
    "JobHandle",
    "Progress",
    "Task",
    "Tasks",
    "current_job",
    "log_job_ids",
    "prepare",
]
