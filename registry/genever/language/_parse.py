"""Gin text to statements, with gin's own parser and without a gin global. Every syntax error is found, not the first alone."""

from __future__ import annotations

import math
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from gin import config_parser

from genever.language._problems import Place, Problem
from genever.language._values import UNREADABLE, MacroUse, Reference, depth_of, leaves, shown

__all__ = ["Assignment", "Include", "Statement", "parse"]

MAX_DEPTH = 20
_KEY = re.compile(r"([A-Za-z_][\w./]*)\s*=(?!=)")
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
    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        *scopes, part = scoped_configurable_name.split("/")
        return Reference(tuple(scopes), part, evaluate)

    def macro(self, macro_name: str) -> MacroUse:
        return MacroUse(macro_name)


def parse(text: str, file: str, first_line: int = 1) -> Iterator[Statement]:
    """The statements of a text. What cannot be read gives a Problem and, where its key is plain, an UNREADABLE value."""
    lines = text.split("\n")
    begin = 0
    while begin < len(lines):
        stop = yield from _parse_until_error(lines, begin, file, first_line)
        if stop is None:
            return
        begin = stop


def _parse_until_error(lines: list[str], begin: int, file: str, first_line: int) -> Iterator[Statement]:
    """Statements from a line on. Returns the line at which to go on after an error, None at the end."""
    shift, statement_line = first_line + begin - 1, begin
    try:
        parser = config_parser.ConfigParser("\n".join(lines[begin:]) + "\n", _Delegate())
        while True:
            statement_line = _next_written(lines, begin + parser.current_token.start[0] - 1)
            # Not by iteration: a StopIteration of the tokenizer would pass for the end of the file.
            statement = parser.parse_statement()
            if statement is None:
                return None
            yield from _read(statement, file, shift)
    except (SyntaxError, tokenize.TokenError, RecursionError, StopIteration, TypeError, ValueError) as error:
        return (yield from _recover(error, lines, begin, statement_line, file, first_line))


def _next_written(lines: list[str], line: int) -> int:
    while line < len(lines) - 1 and not lines[line].split("#")[0].strip():
        line += 1
    return min(line, len(lines) - 1)


def _recover(
    error: Exception, lines: list[str], begin: int, statement_line: int, file: str, first_line: int
) -> Iterator[Statement]:
    error_line = min(begin + _line_of(error, statement_line - begin + 1) - 1, len(lines) - 1)
    text = lines[statement_line]
    # A bracket that is never closed is noticed lines below the statement that it belongs to.
    here = statement_line if isinstance(error, tokenize.TokenError) else max(error_line, statement_line)
    next_line = next((n for n in range(statement_line + 1, len(lines)) if _START.match(lines[n])), len(lines))
    if here >= next_line:
        here = statement_line
    yield Problem.at(Place(file, first_line + here), _syntax_message(error, text.strip(), lines[here].strip()))
    if key := _KEY.match(text.strip()):
        scope, part, parameter = config_parser.parse_binding_key(key[1])
        yield Assignment(scope, part, parameter, UNREADABLE, Place(file, first_line + statement_line))
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
        if isinstance(leaf, bytes | complex):
            return f"{shown(leaf)} is of the type {type(leaf).__name__}, which no parameter takes."
    return None


def _syntax_message(error: Exception, statement: str, line: str) -> str:
    found = shown_line(line)
    if isinstance(error, RecursionError):
        return f"The value in {found} is nested more than {MAX_DEPTH} deep. Write it flatter."
    if isinstance(error, tokenize.TokenError):
        what = "text in triple quotes" if "string" in error.args[0] else "bracket or line"
        return f"A {what} that begins in {found} is never closed. Close it."
    if isinstance(error, IndentationError):
        return f"The indentation of {found} fits no line above it. Begin each binding at the left margin."
    if isinstance(error, TypeError):
        return f"A key of the mapping in {found} is itself a list or a mapping. Use texts or numbers as keys."
    return _gin_message(error, statement, line, found)


def _gin_message(error: Exception, statement: str, line: str, found: str) -> str:
    raw = error.msg if isinstance(error, SyntaxError) else str(error)
    if "Expected file path" in raw or re.match(r"include\b(?!\s*['\"])", line):
        return f"{found} does not name a file. Write include 'base.gin', with quotes."
    if "Failed to parse token" in raw:
        token = raw.rpartition("Failed to parse token ")[2]
        return f"{token} in {found} is not a value. A text needs quotes, a part '@Name()', a macro '%NAME'; True, False and None are capitalised."
    if re.match(r"[\w./]+\s*=\s*(#.*)?$", line):
        return f"{found} has no value. Write one after the '='."
    if "expected ':' or '='" in raw:
        return f"{found} sets nothing. Write 'Part.parameter = value' or 'NAME = value'."
    if "Malformatted" in raw:
        return f"The name in {found} is malformed. Write 'scope/Part.parameter', without spaces and with one dot or slash at a time."
    if "Expected newline" in raw:
        return f"Something follows the value in {found}. Write one binding a line, lists in brackets, and texts in quotes."
    if "Expected ')'" in raw:
        return f"A reference in {found} has something in its brackets. Write '@Name()' and set its parameters on lines of their own."
    if "Expected ','" in raw or "Expected ':'" in raw:
        return f"A comma, a colon or a bracket is missing in or before {found}. Add it."
    if "Expected indentation" in raw or "Expected newline.  Got" in raw:
        return f"{found} opens no block. Write bindings of the part below it, indented, or 'Part.parameter = value'."
    if "Expected '='" in raw or "Invalid identifier" in raw:
        return f"{found} in a block sets nothing. Write 'parameter = value'."
    if "Unable to parse value" in raw:
        return f"{found} has no value that can be read. Write a number, a text in quotes, True, False, None, a list, '@Name()' or '%NAME'."
    return f"{found} cannot be read. Write 'Part.parameter = value', 'NAME = value' or \"include 'file.gin'\"."


def shown_line(line: str) -> str:
    """A line of a file, quoted and short enough for a message."""
    return repr(line if len(line) <= 60 else f"{line[:57]}...")
