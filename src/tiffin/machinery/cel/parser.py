"""From text to syntax tree, macros expanded.

Precedence, from loose to tight: `?:`, `||`, `&&`, relations and `in`, `+ -`, `* / %`, `! -`, then selection, index and call. Chains of
`||` and `&&` become balanced trees. What is nested deeper than `MAX_DEPTH` or longer than `MAX_LENGTH` is refused, so that nothing
that walks the tree can run out of stack. Source: cel-spec "Syntax"; limits and positions of errors: cel-go's parser.
"""
from __future__ import annotations

from tiffin.machinery.cel.ast import Call, Entry, Ident, ListExpr, Literal, MapExpr, Node, Select, StructExpr, qualified_name
from tiffin.machinery.cel.errors import Report, Source
from tiffin.machinery.cel.lexer import RESERVED, Token, tokens
from tiffin.machinery.cel.macros import MacroError, expand
from tiffin.machinery.cel.values import Uint

MAX_LENGTH = 100_000
MAX_DEPTH = 250

_STARTS = "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"
_LEVELS = {"||": 1, "&&": 2, "<": 3, "<=": 3, ">": 3, ">=": 3, "==": 3, "!=": 3, "in": 3, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}
_FUNCTIONS = {op: f"_{op}_" for op in _LEVELS} | {"in": "@in"}


def parse(source: Source, bindings: bool = False) -> Node:
    """The tree of an expression; `bindings` adds the macro `cel.bind`. Raises CompilationError."""
    if len(source.text) > MAX_LENGTH:
        raise source.failure([Report(0, f"expression code point size exceeds limit: size: {len(source.text)}, limit {MAX_LENGTH}")])
    parser = _Parser(source, bindings)
    node = parser.whole()
    if parser.reports:
        raise source.failure(parser.reports)
    if _depth(node) > MAX_DEPTH:
        raise source.failure([Report(0, f"expression recursion limit exceeded: {MAX_DEPTH}")])
    return node


def _depth(root: Node) -> int:
    deepest, stack = 0, [(root, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in node.children())
    return deepest


class _Parser:
    """Recursive descent with a precedence climb; `reports` are faults that let parsing go on."""

    def __init__(self, source: Source, bindings: bool) -> None:
        self.source, self.reports, self._bindings = source, list[Report](), bindings
        self._tokens, self._at, self._nested = tokens(source), 0, 0

    def whole(self) -> Node:
        node = self._expression()
        if self._next.kind != "end":
            word = "extraneous" if self._tokens[self._at + 1].kind == "end" else "mismatched"
            raise self._syntax(f"{word} input '{self._next.text}' expecting <EOF>")
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self._tokens[self._at].kind == kind:
            self._at += 1
            return True
        return False

    def _expect(self, kind: str) -> Token:
        if self._next.kind != kind:
            name = "IDENTIFIER" if kind == "ident" else f"'{kind}'"
            raise self._syntax(f"missing {name} at '{self._next.text}'" if kind in ")]}" else
                               f"mismatched input '{self._next.text}' expecting {name}")
        return self._take()

    def _syntax(self, message: str) -> Exception:
        return self.source.failure([*self.reports, Report(self._next.offset, f"Syntax error: {message}")])

    def _expression(self) -> Node:
        self._nested += 1
        if self._nested > MAX_DEPTH:
            raise self.source.failure([Report(0, f"expression recursion limit exceeded: {MAX_DEPTH}")])
        node = self._binary(1)
        if self._next.kind == "?":
            offset = self._take().offset
            chosen = self._binary(1)
            self._expect(":")
            node = Call(offset, "_?_:_", [node, chosen, self._expression()])
        self._nested -= 1
        return node

    def _binary(self, level: int) -> Node:
        left = self._unary()
        while (found := _LEVELS.get(self._next.kind, 0)) >= level:
            token = self._take()
            if found <= 2:
                left = self._chain(left, token, found)
            else:
                left = Call(token.offset, _FUNCTIONS[token.kind], [left, self._binary(found + 1)])
        return left

    def _chain(self, first: Node, token: Token, level: int) -> Node:
        """`a && b && c && d` as `(a && b) && (c && d)`."""
        terms, offsets = [first, self._binary(level + 1)], [token.offset]
        while self._next.kind == token.kind:
            offsets.append(self._take().offset)
            terms.append(self._binary(level + 1))
        return _balance(_FUNCTIONS[token.kind], terms, offsets, 0, len(offsets) - 1)

    def _unary(self) -> Node:
        token = self._next
        if token.kind not in ("!", "-"):
            return self._member(self._primary())
        count = 0
        while self._accept(token.kind):
            count += 1
        if token.kind == "-" and self._next.kind in ("int", "float"):
            count -= 1
            node = self._member(self._number(self._take(), "-", self._tokens[self._at - 2].offset))
        else:
            node = self._unary() if self._next.kind in ("!", "-") else self._member(self._primary())
        return Call(token.offset, "!_" if token.kind == "!" else "-_", [node]) if count % 2 else node

    def _member(self, node: Node) -> Node:
        while True:
            token = self._next
            if token.kind == ".":
                self._take()
                if self._accept("?"):
                    name = self._expect("ident")
                    node = Call(token.offset, "_?._", [node, Literal(name.offset, name.text)])
                    continue
                name = self._expect("ident")
                called = self._next.kind == "("
                node = self._call(name, node) if called else Select(token.offset, node, name.text)
            elif token.kind == "[":
                self._take()
                function = "_[?_]" if self._accept("?") else "_[_]"
                node = Call(token.offset, function, [node, self._expression()])
                self._expect("]")
            elif token.kind == "{" and (path := qualified_name(node)) is not None:
                node = self._struct(path)
            else:
                return node

    def _call(self, name: Token, target: Node | None) -> Node:
        offset = self._expect("(").offset
        args: list[Node] = []
        if self._next.kind != ")":
            args.append(self._expression())
            while self._accept(","):
                args.append(self._expression())
        self._expect(")")
        try:
            return expand(offset, name.text, target, args, self._bindings) or Call(offset, name.text, args, target)
        except MacroError as error:
            self.reports.append(Report(error.offset, str(error)))
            return Literal(offset, None)

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case "string" | "bytes":
                return Literal(token.offset, token.value)
            case "int" | "uint" | "float":
                return self._number(token, "", token.offset)
            case "true" | "false":
                return Literal(token.offset, token.kind == "true")
            case "null":
                return Literal(token.offset, None)
            case "(":
                node = self._expression()
                self._expect(")")
                return node
            case "[":
                return self._list(token)
            case "{":
                return MapExpr(token.offset, self._entries(named=False))
            case "." | "ident":
                return self._name(token)
        self._at -= 1
        raise self._syntax(f"mismatched input '{token.text}' expecting {{{_STARTS}}}")

    def _name(self, token: Token) -> Node:
        name = self._expect("ident") if token.kind == "." else token
        if name.text in RESERVED:
            self.reports.append(Report(name.offset, f"reserved identifier: {name.text}"))
        if self._next.kind == "(":
            return self._call(name, None)
        return Ident(name.offset, ("." if token.kind == "." else "") + name.text)

    def _number(self, token: Token, sign: str, offset: int) -> Node:
        text = token.text.rstrip("uU") if token.kind == "uint" else token.text
        if token.kind == "float":
            value: float | int = float(sign + text)
            valid = abs(value) != float("inf")
        else:
            # no number of more digits fits, and Python refuses to read thousands of them
            whole = -1 if len(text.lstrip("0x")) > 20 else int(text, 16 if text.startswith("0x") else 10)
            value = -whole if sign else whole
            valid = whole >= 0 and (value < 2**64 if token.kind == "uint" else -2**63 <= value < 2**63)
        if not valid:
            self.reports.append(Report(offset, f"invalid {'double' if token.kind == 'float' else token.kind} literal"))
            value = 0
        return Literal(offset, Uint(value) if token.kind == "uint" else value)

    def _list(self, token: Token) -> Node:
        elements: list[Node] = []
        optional = set()
        while self._next.kind != "]":
            if self._accept("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            if not self._accept(","):
                break
        self._expect("]")
        return ListExpr(token.offset, elements, frozenset(optional))

    def _entries(self, named: bool) -> list[Entry]:
        entries = []
        while self._next.kind != "}":
            optional = self._accept("?")
            key = self._expect("ident").text if named else self._expression()
            offset = self._expect(":").offset
            entries.append(Entry(offset, key, self._expression(), optional))
            if not self._accept(","):
                break
        self._expect("}")
        return entries

    def _struct(self, name: str) -> Node:
        offset = self._take().offset
        return StructExpr(offset, name, self._entries(named=True))


def _balance(function: str, terms: list[Node], offsets: list[int], low: int, high: int) -> Node:
    middle = (low + high + 1) // 2
    left = terms[middle] if middle == low else _balance(function, terms, offsets, low, middle - 1)
    right = terms[middle + 1] if middle == high else _balance(function, terms, offsets, middle + 1, high)
    return Call(offsets[middle], function, [left, right])
