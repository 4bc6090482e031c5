"""`begin`: from a message that an HTTP caller sent, in whatever form, to its generation."""

from __future__ import annotations

from aiohttp import web

from sagesched_gateway.api.attributes import AttributeReader, take_private
from sagesched_gateway.api.http_face.attributes import attributes_of, trace_context
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.request import Conversation


def begin(
    request: web.Request,
    message: ModelInferRequest,
    dispatcher: Dispatcher,
    reader: AttributeReader,
    conversation: Conversation | None = None,
) -> Generation:
    """Queue a message with what its caller says about it; words inside the message are taken out of it.

    Args:
        request: its headers count, and where it comes from.
        message: the request as Triton shall see it.
        dispatcher: takes it.
        reader: knows who is trusted.
        conversation: the chat that the message's prompt was rendered from.

    Raises:
        GatewayError: the message cannot be read or taken, or a trusted caller's word is not allowed (as
            `StopOrderError` where it is no generation but an order to stop one, which is carried out).
    """
    attributes = attributes_of(request, reader, take_private(message))
    return dispatcher.generate(
        message, metadata=trace_context(request), attributes=attributes, conversation=conversation
    )
