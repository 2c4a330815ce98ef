"""A stand-in for the worker's protobuf module: messages that hold what they are given, and the enums that are read."""

from types import SimpleNamespace


class Message(SimpleNamespace):
    """Any message; a field that was not given is None. Fields are lower case."""

    def __getattr__(self, name):
        if not name[0].islower():
            raise AttributeError(name)


class BindingInfo(Message):
    """Directions and data types as in FunctionRpc.proto."""

    in_, out, inout = 0, 1, 2
    undefined = 0


class TypedData(Message):
    """A oneof: it says which of its fields was given."""

    def WhichOneof(self, _group):  # noqa: N802 protobuf's own name
        return next(iter(vars(self)), None)


class StatusResult(Message):
    """The enum's values, by name."""

    Failure, Success = "failure", "success"


class RpcHttp(Message):
    """An HTTP request or answer."""


class FunctionLoadResponse(Message):
    """Answer to a load request."""


class FunctionMetadataResponse(Message):
    """Answer to a metadata request."""


class InvocationResponse(Message):
    """Answer to an invocation."""


class ParameterBinding(Message):
    """A named value; of its oneof only `data` is used here."""

    def WhichOneof(self, _group):  # noqa: N802 protobuf's own name
        return "data"


class RpcException(Message):
    """What a function raised."""


class RpcFunctionMetadata(Message):
    """One indexed function."""


class WorkerInitResponse(Message):
    """Answer to the first request."""


class WorkerMetadata(Message):
    """Name and version of the worker."""
