"""The tasks of `work` on a store whose answers to claims do not arrive at first."""

from tests.celery.work import shared
from tests.unheard import lose_answers_to_claims

__all__ = ["shared"]

lose_answers_to_claims(2)
