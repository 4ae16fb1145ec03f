"""What stands in the way of a workflow."""

from avcorr.errors import Error


class WorkflowError(Error):
    """What was asked cannot be done with what was given."""
