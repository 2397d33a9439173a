"""Datasets: named data that endpoints and tasks read.

resident.py     Dataset: any Python object, loaded once in a process
loading.py      one run of a loader: who waits for whom, and circles
registry.py     the datasets and the warm functions of this process
awaitables.py   runs an async loader to its end, whatever this thread is doing
"""

from onecopy.datasets.registry import Warmer, keep_out, registered, warmers
from onecopy.datasets.resident import Dataset

__all__ = ["Dataset", "Warmer", "keep_out", "registered", "warmers"]
