"""The language: literals, operators, macros, conversions, times, optionals; each line an expression that is true."""
from __future__ import annotations

import pytest

from tests.machinery.cel.support import run
from tiffin.machinery.cel import EvaluationError

LITERALS = r"""
0x1F == 31
-0x10 == -16
-9223372036854775808 < 0
18446744073709551615u > 0u
.5 == 0.5
1e3 == 1000.0
1.5e-1 == 0.15
'a' == "a"
'''a
b''' == 'a\nb'
\"\"\"it's "quoted" here\"\"\" == 'it\'s "quoted" here'
r'\d' == '\\d'
R"a\nb".size() == 4
'\x41\u0042\U00000043\104' == 'ABCD'
b'\xff\101A'.size() == 3
b'é'.size() == 2
br'\n'.size() == 2
'\a\b\f\n\r\t\v\\\?\'\"\`'.size() == 12
[1, 2,].size() == 2
{'a': 1,}.size() == 1
true != false // with a comment
null == null
.n == 7
""".strip().replace('\\"', '"')

OPERATORS = r"""
1 + 2 * 3 - 4 / 2 % 3 == 5
-7 / 2 == -3
-7 % 3 == -1
7 % -3 == 1
5u - 3u == 2u
1.0 / 0.0 > 1e308
!(0.0 / 0.0 == 0.0 / 0.0)
--1 == 1
!!true
-(-(3)) == 3
'a' + 'b' == 'ab'
b'a' + b'b' == b'ab'
[1] + [2] == [1, 2]
1 < 1.5 && 2u > 1 && 1.5 >= 1u
1 <= 1u
'a' < 'b' && b'a' < b'b' && false < true
dyn(1) == 1.0 && dyn(1u) == 1 && dyn(1.0) == 1u
dyn(1) != 'a'
dyn(1) != true
[dyn(1), dyn(2.0)] == [dyn(1.0), dyn(2u)]
{'a': dyn(1)} == {'a': dyn(1.0)}
2 in ns && !(9 in ns)
dyn(2.0) in [1, 2]
'k' in m && !('z' in m)
'a' in {'a': 1}
n > 5 ? true : false
false ? 1 / 0 == 1 : true
true || 1 / 0 == 1
1 / 0 == 1 || true
!(false && 1 / 0 == 1)
!(1 / 0 == 1 && false)
ns[0] == 3
m['k'] == 1 && m.k == 1
{1: 'a'}[1] == 'a'
{true: 'a'}[true] == 'a'
x.list[dyn(1.0)] == 2
x.a['b'] == 1
has(x.a) && has(x.a.b) && !has(x.a.c) && has(x.none)
y == null
x.none == null
"""

MACROS = r"""
ns.all(i, i > 0)
!ns.all(i, i > 1)
ns.exists(i, i == 2)
ns.exists_one(i, i > 2) && ns.existsOne(i, i > 2)
ns.map(i, i * 2) == [6, 2, 4]
ns.map(i, i > 1, i * 2) == [6, 4]
ns.filter(i, i > 1) == [3, 2]
m.all(k, m[k] > 0)
m.map(k, k).size() == 2
[1, 0].exists(i, 4 / i == 4)
[0, 1].exists(i, 4 / i == 4)
!([0, 2].all(i, 4 / i == 4))
[[1, 2], [3]].map(a, a.map(b, b + a.size())) == [[3, 4], [4]]
[1, 2].map(a, [3].map(a, a)) == [[3], [3]]
ns.all(i, v, i < 3 && v > 0)
m.all(k, v, k.size() == 1 && v > 0)
m.exists(k, v, k == 'l' && v == 2)
m.existsOne(k, v, v == 2) && m.exists_one(k, v, v == 2)
ns.transformList(i, v, i * v) == [0, 1, 4]
ns.transformList(i, v, v > 1, i) == [0, 2]
m.transformList(k, v, v).size() == 2
m.transformMap(k, v, v * 2) == {'k': 2, 'l': 4}
m.transformMap(k, v, v > 1, v) == {'l': 2}
ns.transformMap(i, v, v) == {0: 3, 1: 1, 2: 2}
m.transformMapEntry(k, v, {v: k}) == {1: 'k', 2: 'l'}
x.a.all(k, k == 'b')
[].all(i, false) && ![].exists(i, true)
['b', 'a'].sortBy(w, w) == ['a', 'b']
[{'v': 2}, {'v': 1}].sortBy(e, e.v)[0].v == 1
"""

CONVERSIONS = r"""
int('-5') == -5 && int(2.9) == 2 && int(-2.9) == -2 && int(3u) == 3
int(timestamp('1970-01-01T00:01:00Z')) == 60
uint('7') == 7u && uint(3.9) == 3u
double('1e3') == 1000.0 && double(2) == 2.0
string(1) == '1' && string(1u) == '1' && string(true) == 'true'
string(1e6) == '1e+06' && string(123456.0) == '123456' && string(1e-5) == '1e-05' && string(0.0001) == '0.0001'
string(b'abc') == 'abc' && bytes('é') == b'\xc3\xa9'
bool('true') && bool('1') && bool('T') && !bool('false')
string(duration('90m')) == '5400s' && string(duration('1.5s')) == '1.5s' && string(duration('-1ms')) == '-0.001s'
string(timestamp('2020-01-02T03:04:05.6+02:00')) == '2020-01-02T01:04:05.6Z'
type(1) == int && type('') == string && type(null) == null_type && type([]) == list && type({}) == map && type(type(1)) == type
type(timestamp(0)) == google.protobuf.Timestamp
type(1u) == uint && type(1.0) == double && type(b'') == bytes && type(true) == bool
"""

TIMES = r"""
timestamp('2020-02-29T23:00:00Z') + duration('2h') == timestamp('2020-03-01T01:00:00Z')
timestamp('2020-01-01T00:00:01Z') - timestamp('2020-01-01T00:00:00Z') == duration('1s')
timestamp('2020-01-01T00:00:00Z') < timestamp('2020-01-01T00:00:00.000000001Z')
duration('1h') > duration('59m')
timestamp('2020-05-06T07:08:09.123Z').getFullYear() == 2020
timestamp('2020-05-06T07:08:09.123Z').getMonth() == 4
timestamp('2020-05-06T07:08:09.123Z').getDate() == 6
timestamp('2020-05-06T07:08:09.123Z').getDayOfMonth() == 5
timestamp('2020-05-03T07:08:09.123Z').getDayOfWeek() == 0
timestamp('2020-01-01T07:08:09.123Z').getDayOfYear() == 0
timestamp('2020-05-06T07:08:09.123Z').getHours('+02:00') == 9
timestamp('2020-05-06T07:08:09.123Z').getHours('-08:00') == 23
timestamp('2020-05-06T07:08:09.123Z').getHours('02:30') == 9
timestamp('2020-05-06T07:08:09.123Z').getMinutes() == 8
timestamp('2020-05-06T07:08:09.123Z').getSeconds() == 9
timestamp('2020-05-06T07:08:09.123Z').getMilliseconds() == 123
duration('3h30m').getHours() == 3 && duration('3h30m').getMinutes() == 210
duration('1.5s').getSeconds() == 1 && duration('1.5s').getMilliseconds() == 1500
-duration('1h') == duration('-1h')
"""

OPTIONALS = r"""
x.?a.?b.orValue(0) == 1
x.?z.?b.orValue(0) == 0
x.?a.b.hasValue()
x[?'a'].hasValue() && !x[?'q'].hasValue()
ns[?5].orValue(9) == 9 && ns[?0].value() == 3
optional.of(1).value() == 1 && !optional.none().hasValue()
!optional.ofNonZeroValue(0).hasValue() && !optional.ofNonZeroValue('').hasValue() && !optional.ofNonZeroValue([]).hasValue()
optional.of(1).or(optional.of(2)).value() == 1
optional.none().or(optional.of(2)).value() == 2
optional.of(1).orValue(1 / 0) == 1
optional.of(2).optMap(v, v * 2).value() == 4
!optional.none().optMap(v, v).hasValue()
optional.of(2).optFlatMap(v, optional.of(v + 1)).value() == 3
[1, ?optional.of(2), ?optional.none()] == [1, 2]
{'a': 1, ?'b': optional.none(), ?'c': optional.of(3)} == {'a': 1, 'c': 3}
optional.of(1) == optional.of(1) && optional.of(1) != optional.none()
[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()
optional.unwrap([optional.of(1), optional.none()]) == [1]
has(x.?a.b) && !has(x.?z.b)
"""


def _lines(text: str) -> list[str]:
    return [line for line in text.replace("'''a\nb'''", "'''a\\nb'''").strip().splitlines() if line]


@pytest.mark.parametrize("expression", _lines(LITERALS + "\n" + OPERATORS + MACROS + CONVERSIONS + TIMES + OPTIONALS))
def test_true(expression: str) -> None:
    assert run(expression) is True


FAILURES = [
    ("9223372036854775807 + 1", "integer overflow"), ("-9223372036854775808 - 1", "integer overflow"), ("-9223372036854775808 / -1", "integer overflow"),
    ("n * 9223372036854775807", "integer overflow"), ("0u - 1u", "unsigned integer overflow"), ("-(-9223372036854775807 - 1)", "integer overflow"),
    ("1 / 0", "division by zero"), ("1 % 0", "modulus by zero"), ("1u / 0u", "division by zero"),
    ("x.z", "no such key: z"), ("x.a.b.c", "no such key: c"), ("m['z']", "no such key: z"), ("y.a", "no such key: a"), ("x.none.a", "no such key: a"),
    ("ns[3]", "index out of bounds: 3"), ("ns[-1]", "index out of bounds: -1"), ("x.list['a']", "unsupported index type 'string' in list"),
    ("x.a < 1", "no such overload: _<_(map, int)"), ("x.a.b < 'a'", "no such overload"), ("x.a.b + 'a'", "no such overload"),
    ("x && true", "no such overload"), ("x ? 1 : 2", "no such overload"), ("!x", "no such overload"), ("x.a + 1", "no such overload: _+_(map, int)"),
    ("size(x.a.b)", "no such overload: size(int)"), ("x.a.b.startsWith('a')", "no such overload: startsWith(int, string)"),
    ("int('x')", "type conversion error from 'string' to 'int'"), ("bool('yes')", "type conversion error from 'string' to 'bool'"),
    ("int('1_000')", "type conversion error from 'string' to 'int'"), ("double('1_0.0')", "type conversion error from 'string' to 'double'"),
    ("int(1e19)", "integer overflow"), ("uint(-1)", "unsigned integer overflow"), ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
    ("optional.none().value()", "optional.none() dereference"), ("ns.all(i, i / 0 == 1)", "division by zero"), ("ns.map(i, 1 / (i - 1))", "division by zero"),
    ("x.a.b.all(i, true)", "got 'types.Int', expected iterable type"), ("{'a': 1, 'a': 2}", "Failed with repeated key: a"),
    ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"), ("duration(9223372036854775807) + duration('1s')", "duration overflow"),
    ("timestamp(0).getHours('Nowhere/Land')", "unknown time zone Nowhere/Land"), ("timestamp(0).getHours('99:99')", "unknown time zone 99:99"),
    ("ns.transformMapEntry(i, v, {'same': v})", "insert failed: key same already exists"), ("s.matches(s + '(')", "error parsing regexp: missing closing ): `héllo(`"),
]


@pytest.mark.parametrize(("expression", "message"), FAILURES)
def test_failures(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        run(expression)
    assert str(caught.value) == message
