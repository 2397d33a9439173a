"""What whoever looks after a service should know of a broker: asked for, by `onecopy doctor`."""

from onecopy.errors import OptionError


async def concerns_of(url: str) -> list[str] | None:
    """Return what is wrong with the broker of a URL; None if nothing is known of its kind.

    Each is the end of a sentence about the broker, with its cure behind a semicolon. Raises OSError
    where nobody answers, OptionError for a URL that is none or what is not installed.
    """
    scheme = url.partition(":")[0]
    if scheme == "kafka":
        try:
            from onecopy.engines.kafka_concerns import concerns
        except ModuleNotFoundError as error:
            raise _not_installed(error, "kafka") from error
        return await concerns(url)
    if scheme.partition("+")[0] == "celery":
        from onecopy.engines.celery_concerns import concerns

        return await concerns(url)
    return None


def _not_installed(error: ModuleNotFoundError, extra: str) -> OptionError:
    return OptionError("engine", f"it needs {error.name}: pip install 'onecopy[{extra}]'")
