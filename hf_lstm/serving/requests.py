# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What may be asked of the server: the fields of a request, checked one by one."""

from dataclasses import dataclass, field
from typing import Any


class BadRequest(ValueError):
    """
    What is wrong with a request and how to mend it.

    Args:
        message (`str`): What is sent back.
        param (`str`, *optional*): The field.
        status (`int`, *optional*, defaults to 400): The status of HTTP.
    """

    def __init__(self, message: str, param: str | None = None, status: int = 400):
        super().__init__(message)
        self.param, self.status = param, status

    @property
    def body(self) -> dict:
        """As OpenAI's API says it."""
        return error_body(str(self), "invalid_request_error", self.param)


def error_body(message: str, kind: str, param: str | None = None) -> dict:
    """An error as OpenAI's API says it. What a client has sent may have characters that cannot be sent back."""
    message, param = (each and each.encode(errors="backslashreplace").decode() for each in (message, param))
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


class Fields:
    """
    The fields of a JSON object. Each is taken once, and what nobody took is refused by [`~Fields.end`]: an option
    without effect would be a wrong answer. `null` is a field that is not there.

    Args:
        body (`dict`): The object.
        inside (`str`, *optional*, defaults to `""`): The field that it is the value of.
    """

    def __init__(self, body: Any, inside: str = ""):
        if not isinstance(body, dict):
            what = f"`{inside}`" if inside else "The body"
            raise BadRequest(f"{what} is {_shown(body)}. Give an object of JSON.", inside or None)
        self.left = {name: value for name, value in body.items() if value is not None}
        self.inside = inside

    def take(self, name: str, default: Any = None) -> Any:
        return self.left.pop(name, default)

    def number(self, name: str, low: float, high: float, default: float | None = None, whole: bool = False) -> Any:
        """A number of a closed interval."""
        value = self.take(name, default)
        right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if value is not default and not (right and low <= value <= high):
            kind = "a whole number" if whole else "a number"
            raise BadRequest(f"`{name}` is {_shown(value)}. Give {kind} from {low} to {high}.", name)
        return value if whole or value is default else float(value)

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise BadRequest(f"`{name}` is {_shown(value)}. Give true or false.", name)
        return value

    def choice(self, name: str, values: tuple[str, ...], default: str | None = None) -> str | None:
        value = self.take(name, default)
        if value is not default and value not in values:
            raise BadRequest(f"`{name}` is {_shown(value)}. Give one of {', '.join(values)}.", name)
        return value

    def texts(self, name: str, default: list[str] | None = None) -> tuple[list[str], bool]:
        """One text or a list of them, and whether it was a list."""
        value = self.take(name, default)
        if value is None:
            raise BadRequest(f"There is no `{name}`. Give a text, or a list of texts.", name)
        given = value if isinstance(value, list) else [value]
        if not given and default is None:
            raise BadRequest(f"`{name}` is an empty list. Give a text, or a list of texts.", name)
        return [text(each, name) for each in given], isinstance(value, list)

    def end(self, ignored: tuple[str, ...] = (), **defaults: Any) -> None:
        """
        Refuse what is left.

        Args:
            ignored (`tuple[str]`, *optional*): Fields without a part in the answer, such as the name of a user.
            defaults (`dict`, *optional*): What fields that the server does not know may be, beside null, false, zero
                and empty.

        Raises:
            `ValueError`: If a field is left.
        """
        for name, value in self.left.items():
            if name not in ignored and value and value != defaults.get(name):
                where = f" of `{self.inside}`" if self.inside else ""
                raise BadRequest(f"`{name}`{where} is {_shown(value)}, which is not known here. Leave it out.", name)


def text(value: Any, name: str) -> str:
    """A text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise BadRequest(f"`{name}` is {_shown(value)}. Give a text.", name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"`{name}` has half of a character of two parts, {value[error.start]!r}, at position {error.start}: a "
            "lone surrogate. Cut texts between characters, not between units of UTF-16.",
            name,
        ) from error
    return value


def _shown(value: Any) -> str:
    """The start of a value, in ASCII: a text may have characters that cannot be sent back."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


@dataclass(frozen=True)
class Writing:
    """
    How a language model is to write.

    Args:
        max_tokens (`int`): Tokens at most.
        options (`dict`): Arguments of `generate`; what is not asked for is as in the model's `generation_config`.
        seed (`int`, *optional*): Seed of sampling.
        stop (`list[str]`): Texts before which the answer ends.
        stream (`bool`): Whether to answer in pieces.
        include_usage (`bool`): Whether the last piece counts the tokens.
    """

    max_tokens: int
    options: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    stream: bool = False
    include_usage: bool = False


def writing(fields: Fields, most: int, default: int) -> Writing:
    """
    What completions and chats have in common. Nothing else may be left in the fields.

    Args:
        fields ([`Fields`]): The fields of the request.
        most (`int`): What `max_tokens` may be at most.
        default (`int`): What it is if it is not given.

    Returns:
        [`Writing`]: How to write.

    Raises:
        `ValueError`: If a field is wrong, or not known.
    """
    longest = [fields.number(name, 1, most, whole=True) for name in ("max_tokens", "max_completion_tokens")]
    options = {
        "temperature": fields.number("temperature", 0, 100),
        "top_p": fields.number("top_p", 1e-6, 1),
        "top_k": fields.number("top_k", 0, 2**31, whole=True),
    }
    if options["temperature"] == 0:
        options = {"do_sample": False}
    elif any(value is not None for value in options.values()):
        options["do_sample"] = True
    options["repetition_penalty"] = fields.number("repetition_penalty", 1e-2, 100)
    seed = fields.number("seed", 0, 2**63 - 1, whole=True)
    stop, _ = fields.texts("stop", [])
    if "" in stop:
        raise BadRequest("`stop` has an empty text. Leave it out.", "stop")
    stream, more = fields.flag("stream"), Fields(fields.take("stream_options", {}), "stream_options")
    include_usage = more.flag("include_usage")
    more.end(("include_obfuscation",))
    fields.end(
        ("user", "metadata", "store", "safety_identifier"),
        **{"n": 1, "best_of": 1, "response_format": {"type": "text"}, "tool_choice": "none"},
    )
    options = {name: value for name, value in options.items() if value is not None}
    longest = next((number for number in longest if number is not None), min(default, most))
    return Writing(longest, options, seed, stop, stream, include_usage)


def messages(fields: Fields) -> list[dict[str, str]]:
    """
    The turns of a chat.

    Args:
        fields ([`Fields`]): The fields of the request.

    Returns:
        `list[dict[str, str]]`: The role and the text of each.

    Raises:
        `ValueError`: If there are none, or one is no text.
    """
    given = fields.take("messages")
    if not isinstance(given, list) or not given:
        example = '[{"role": "user", "content": "..."}]'
        raise BadRequest(f"`messages` is {_shown(given)}. Give a list of turns, such as {example}.", "messages")
    found = []
    for i, each in enumerate(given):
        name = f"messages[{i}]"
        turn = Fields(each, name)
        role, content = text(turn.take("role"), f"{name}.role"), turn.take("content")
        if isinstance(content, list):
            content = "".join(_part(part, f"{name}.content[{j}]") for j, part in enumerate(content))
        turn.end(("name",))
        found.append({"role": role, "content": text(content, f"{name}.content")})
    return found


def _part(part: Any, name: str) -> str:
    fields = Fields(part, name)
    kind = fields.take("type")
    if kind != "text":
        raise BadRequest(f"`{name}` has the type {_shown(kind)}. This server reads only parts of the type text.", name)
    return text(fields.take("text"), f"{name}.text")
