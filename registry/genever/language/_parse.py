"""Gin text to statements, with gin's own parser and no gin global. All syntax errors are found, not the first alone."""

from __future__ import annotations

import math
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from gin import config_parser

from genever.errors import Place, Problem
from genever.language._values import UNREADABLE, MacroUse, Reference, depth_of, leaves, shown

__all__ = ["Assignment", "Include", "Statement", "parse"]

MAX_DEPTH = 20
MAX_ERRORS = 100
#: No parameter needs more, and Python writes no number of many thousands.
MAX_BITS = 1000
_NAME = r"[A-Za-z_]\w*"
#: `scope/Part.parameter`, whatever follows, or `NAME =`.
_KEY = re.compile(rf"((?:{_NAME}/)*{_NAME}(?:(?:\.{_NAME})+(?![\w./])|(?=\s*=)))")
_START = re.compile(r"[A-Za-z_][\w./]*\s*[=:]|(?:include|import|from)\b")


@dataclass(frozen=True)
class Assignment:
    """`scope/part.parameter = value`; without a parameter it sets the macro `scope/part`."""

    scope: str
    part: str
    parameter: str
    value: object
    place: Place


@dataclass(frozen=True)
class Include:
    """`include 'file'`."""

    file: str
    place: Place


Statement = Assignment | Include | Problem


class _Delegate(config_parser.ParserDelegate):
    def configurable_reference(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, scoped_configurable_name: str, evaluate: bool
    ) -> Reference:
        *scopes, part = scoped_configurable_name.split("/")
        return Reference(tuple(scopes), part, evaluate)

    def macro(self, macro_name: str) -> MacroUse:  # pyright: ignore[reportIncompatibleMethodOverride]
        return MacroUse(macro_name)


def parse(text: str, file: str) -> Iterator[Statement]:
    """The statements of a text. What cannot be read gives a Problem and, where its key is plain, an UNREADABLE value."""
    lines = text.split("\n")
    begin: int | None = 0
    for _ in range(MAX_ERRORS):
        begin = yield from _parse_until_error(lines, begin, file)
        if begin is None or begin >= len(lines):
            return
    yield Problem.at(
        Place(file, 1 + begin),
        f"{MAX_ERRORS} lines above cannot be read. Is this a gin file? The rest is not read.",
    )


def _parse_until_error(lines: list[str], begin: int, file: str) -> Iterator[Statement]:
    """Statements from a line on. Returns the line at which to go on after an error, None at the end."""
    statement_line = begin
    try:
        parser = config_parser.ConfigParser("\n".join(lines[begin:]) + "\n", _Delegate())
        while True:
            token = parser.current_token
            assert token is not None
            statement_line = _next_written(lines, begin + token.start[0] - 1)
            # Not by iteration: a StopIteration of the tokenizer would pass for the end of the file.
            statement = parser.parse_statement()
            if statement is None:
                return None
            yield from _read(statement, file, begin)
    except (SyntaxError, tokenize.TokenError, RecursionError, StopIteration, TypeError, ValueError) as error:
        return (yield from _recover(error, lines, begin, statement_line, file))


def _next_written(lines: list[str], line: int) -> int:
    while line < len(lines) - 1 and not lines[line].split("#")[0].strip():
        line += 1
    return min(line, len(lines) - 1)


def _recover(error: Exception, lines: list[str], begin: int, statement_line: int, file: str) -> Iterator[Statement]:
    error_line = min(begin + _line_of(error, statement_line - begin + 1) - 1, len(lines) - 1)
    next_line = next((n for n in range(statement_line + 1, len(lines)) if _START.match(lines[n])), len(lines))
    # What is never closed or never follows is noticed lines below the statement that it belongs to.
    here = error_line if statement_line < error_line < next_line and lines[error_line].strip() else statement_line
    if isinstance(error, tokenize.TokenError):
        here = statement_line
    text = lines[statement_line]
    message = _syntax_message(error, text.strip(), lines[here].strip())
    if error_line >= next_line and not isinstance(error, tokenize.TokenError):
        message = f"A bracket that is opened in {shown_line(text.strip())} is never closed. Close it."
    yield Problem.at(Place(file, 1 + here), message)
    if key := _KEY.match(text.strip()):
        scope, part, parameter = config_parser.parse_binding_key(key[1])
        yield Assignment(scope, part, parameter, UNREADABLE, Place(file, 1 + statement_line))
    return next_line


def _line_of(error: Exception, default: int) -> int:
    if isinstance(error, SyntaxError):
        return error.lineno or default
    if isinstance(error, tokenize.TokenError):
        return error.args[1][0]
    return default


def _read(statement: object, file: str, shift: int) -> Iterator[Statement]:
    match statement:
        case config_parser.IncludeStatement(filename, location):
            yield Include(filename, Place(file, location.line_num + shift))
        case config_parser.ImportStatement():
            yield Problem.at(
                Place(file, statement.location.line_num + shift),
                f"'{statement.format()}' imports a module. Parts come from installed plugins, so leave the line out; "
                "'genever plugins' lists them.",
            )
        case config_parser.BindingStatement(scope, part, parameter, value, location):
            place = Place(file, location.line_num + shift)
            if complaint := _refusal(value):
                yield Problem.at(place, f"{_written_key(scope, part, parameter)}: {complaint}")
                value = UNREADABLE
            yield Assignment(scope, part, parameter, value, place)
        case _:
            assert isinstance(statement, config_parser.BlockDeclaration)


def _written_key(scope: str, part: str, parameter: str) -> str:
    return (f"{scope}/" if scope else "") + part + (f".{parameter}" if parameter else "")


def _refusal(value: object) -> str | None:
    """Why a value that gin can read is refused all the same."""
    if depth_of(value) > MAX_DEPTH:
        return f"the value is nested more than {MAX_DEPTH} deep. Write it flatter."
    for leaf in leaves(value):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return f"{leaf!r} is not a finite number. Write one that is, or None where the parameter can be switched off."
        if isinstance(leaf, int) and leaf.bit_length() > MAX_BITS:
            return f"a whole number of {leaf.bit_length()} bits is too large. Write one of at most {MAX_BITS} bits."
        if isinstance(leaf, bytes | complex):
            return f"{shown(leaf)} is of the type {type(leaf).__name__}, which no parameter takes. Write a text or a number."
    return None


def _syntax_message(error: Exception, statement: str, line: str) -> str:
    found = shown_line(line)
    if isinstance(error, RecursionError):
        return f"The value in {found} is nested more than {MAX_DEPTH} deep. Write it flatter."
    if isinstance(error, tokenize.TokenError):
        what = "text in triple quotes" if "string" in error.args[0] else "bracket or a line"
        return f"A {what} that begins in {found} is never closed. Close it."
    if isinstance(error, IndentationError):
        return f"The indentation of {found} fits no line above it. Begin each binding at the left margin."
    if isinstance(error, TypeError):
        return f"A key of the mapping in {found} is itself a list or a mapping. Use texts or numbers as keys."
    return _gin_message(error, statement, line, found)


def _gin_message(error: Exception, statement: str, line: str, found: str) -> str:
    raw = error.msg if isinstance(error, SyntaxError) else str(error)
    if "Failed to parse token" in raw and not line.startswith("include"):
        token = raw.rpartition("Failed to parse token '")[2][:-1]
        remedy = "A text needs quotes, a part '@Name()', a macro '%NAME'."
        if token.lower() in ("true", "false", "none"):
            remedy = f"Write {token.capitalize()}."
        return f"{shown_line(token)} in {found} is not a value. {remedy}"
    if (
        line == statement
        and re.match(r"[\w./]+\s*:", line)
        and ("Expected newline.  Got" in raw or "Expected indent" in raw)
    ):
        return f"{found} begins a block, but no indented line follows. Write 'Part.parameter = value'."
    for pattern, what in _LINES:
        if re.search(pattern, line):
            return f"{found} {what}"
    for fragment, what in _COMPLAINTS:
        if fragment in raw:
            return f"{found} {what}"
    return f"{found} cannot be read. Write 'Part.parameter = value', 'NAME = value' or \"include 'file.gin'\"."


#: What a line looks like that gin cannot read, and what to say of it.
_LINES = (
    (r"^(//|;|--)", "is not a comment in gin. Begin it with '#'."),
    (r"^include\b", "does not name a file. Write include 'base.gin', with quotes."),
    (r"^[\w./]+\s*=\s*(#.*|\\\\)?$", "has no value. Write one after the '='."),
    (
        r"^[\w./]*(//|\.\.|/\.|\./)|^[\w/]+\s+\.|^[\w./]+\.\s",
        "has a malformed name. Write 'scope/Part.parameter', without spaces.",
    ),
    (r"=[^'\"#]*(@|%)\s*([^\w\s]|$)", "has an '@' without a part or a '%' without a macro. Write '@Name()' or '%NAME'."),
    (r"=\s*[\[({]*\s*('[^']*|\"[^\"]*)$", "has a text without a closing quote. Add it."),
)
#: What gin says, and what to say instead.
_COMPLAINTS = (
    ("Malformatted", "has a malformed name. Write 'scope/Part.parameter', without spaces."),
    ("expected ':' or '='", "sets nothing. Write 'Part.parameter = value' or 'NAME = value'."),
    ("Expected '='", "sets nothing. Write 'parameter = value' in a block."),
    ("Invalid identifier", "sets nothing. Write 'parameter = value' in a block."),
    ("Expected newline", "goes on after its value. Write one binding a line, and the result in place of a calculation."),
    (
        "Expected ')'",
        "has something in the brackets of a part. Write '@Name()', and 'Name.parameter = value' on another line.",
    ),
    ("Expected ','", "lacks a comma or a bracket. Add it."),
    ("Expected ':'", "lacks a colon between a key and its value. Write {'key': value}."),
    (
        "Unable to parse value",
        "has no value that can be read. Write a number, a text in quotes, a list, '@Name()' or '%NAME'.",
    ),
)


def shown_line(line: str) -> str:
    """A line of a file, quoted and short enough for a message."""
    return repr(line if len(line) <= 60 else f"{line[:57]}...")
