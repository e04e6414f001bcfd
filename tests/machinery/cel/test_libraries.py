"""The function libraries: each line an expression that is true, and what calls fail with."""
from __future__ import annotations

from typing import Any

import pytest

from tests.machinery.cel.support import ENVIRONMENT, run
from tiffin.machinery.cel import Environment, EvaluationError, json_of
from tiffin.machinery.cel.library.authz import AUTHORIZER, RESOURCE_CHECK, Answer, Attributes, AuthorizerValue, ResourceCheck
from tiffin.machinery.cel.library.mutation import MUTATION, misnamed
from tiffin.machinery.cel.types import DYN

STRINGS = r"""
'héllo'.charAt(1) == 'é' && 'ab'.charAt(2) == ''
'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'abc'.indexOf('') == 0 && ''.indexOf('a') == -1
'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1 && 'abc'.lastIndexOf('') == 3
['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('x') == ''
'HeLLo É'.lowerAscii() == 'hello É' && 'hé'.upperAscii() == 'Hé'
'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 2) == 'bba' && 'aaa'.replace('a', 'b', 0) == 'aaa' && 'ab'.replace('', '_') == '_a_b_'
'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c'] && 'a,b'.split(',', 0) == []
'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'ta'.substring(2) == ''
'  \ttrim \u2003\n'.trim() == 'trim'
strings.quote('a"b\n\\') == '"a\\"b\\n\\\\"'
'%s is %d%%'.format([dyn('x'), dyn(5)]) == 'x is 5%'
'%s %s %s %s'.format([dyn(true), dyn(null), dyn([1, 2]), dyn({'b': 1, 'a': 2})]) == 'true null [1, 2] {a: 2, b: 1}'
'%s %s %s'.format([dyn(duration('90s')), dyn(timestamp(0)), dyn(int)]) == '90s 1970-01-01T00:00:00Z int'
'%x %X %o %b %b'.format([dyn(255), dyn('hi'), dyn(8), dyn(5), dyn(true)]) == 'ff 6869 10 101 1'
'%.2f %f'.format([1234.567, 0.5]) == '1,234.57 0.500000'
'%e'.format([1052.033]) == '1.052033 × 10⁰³'
'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.matches('^h.*o$') && matches('ab', 'b')
"""

LISTS = r"""
[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()
[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [duration('1m'), duration('1s')].sum() == duration('61s') && [].sum() == 0
[3, 1].min() == 1 && ['a', 'b'].max() == 'b'
[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(5) == -1
[1, 2, 3, 4].slice(1, 3) == [2, 3]
[[1], [2, 3]].flatten() == [1, 2, 3] && [dyn([dyn(1), dyn([dyn(2), dyn([3])])])].flatten(2) == [dyn(1), dyn(2), dyn([3])]
[3, 1, 2].sort() == [1, 2, 3] && ['b', 'a'].sort() == ['a', 'b']
[1, 2, 3].reverse() == [3, 2, 1]
[dyn(1), dyn(2.0), dyn(2u), dyn('a'), dyn('a'), dyn(true)].distinct().size() == 4
lists.range(3) == [0, 1, 2]
sets.contains([1, 2, 3], [2]) && !sets.contains([1], [1, 2]) && sets.contains([1], [])
sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [])
sets.contains([[1], [2]], [[2]]) && sets.equivalent([{'a': 1}], [{'a': 1}])
'abc 123 x9'.find('[0-9]+') == '123' && 'abc'.find('[0-9]') == ''
'1 22 333'.findAll('[0-9]+') == ['1', '22', '333'] && '1 22 333'.findAll('[0-9]+', 2) == ['1', '22'] && '1'.findAll('1', 0) == []
"""

VALUES = r"""
quantity('1Ki') == quantity('1024') && quantity('0.5') != quantity('1')
quantity('5').add(quantity('1500m')).compareTo(quantity('6.5')) == 0 && sign(quantity('1').sub(3)) == -1
!quantity('9999999999999999999999').isInteger() && quantity('1e3').asInteger() == 1000
isIP('::1') && !isIP('1.2.3') && !isIP('fe80::1%eth0') && !isIP('::ffff:1.2.3.4') && !isIP('01.2.3.4')
string(ip('2001:DB8::0')) == '2001:db8::' && ip('::1').isLoopback() && ip('255.255.255.255').isGlobalUnicast() == false
ip('ff02::1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast() && ip('10.0.0.1').isGlobalUnicast()
type(ip('1.1.1.1')) == net.IP && type(cidr('1.1.1.0/24')) == net.CIDR
cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP('::1') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')
!isCIDR('10.0.0.0/08') && !isCIDR('10.0.0.0/-1') && isCIDR('::/0') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')
url('https://user:pw@[::1]:8080/p?a=1').getHostname() == '::1' && url('https://[::1]:8080/').getPort() == '8080'
url('/only/path?x=%20').getQuery() == {'x': [' ']} && url('/a').getHost() == ''
url('http://h/a?b=c') == url('http://h/a?b=c') && url('http://h/ä').getEscapedPath() == '/%C3%A4'
!isURL('http://a b/') && !isURL('http://h:x/') && !isURL('http://[::1') && !isURL('../x') && !isURL('http://h/%zz') && isURL('urn:x:y')
isSemver('1.0.0-alpha.1+b') && !isSemver('1.0') && !isSemver('v1.0.0') && isSemver('v1', true) && !isSemver('01.0.0') && isSemver('01.0.0', true)
semver('1.0.0-alpha').isLessThan(semver('1.0.0-alpha.1')) && semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))
semver('1.0.0-2').isLessThan(semver('1.0.0-11')) && semver('1.0.0').isGreaterThan(semver('1.0.0-rc')) && semver('1.0.0+a') == semver('1.0.0+b')
format.dns1123Label().validate('a-b') == optional.none() && format.dns1123Label().validate('A').value().size() == 1
format.named('uuid').value().validate('123e4567-e89b-12d3-a456-426614174000') == optional.none() && !format.named('x').hasValue()
format.dns1123SubdomainPrefix().validate('a.b-') == optional.none() && format.byte().validate('?').value() == ['invalid base64']
format.date().validate('2021-02-30').value() == ['invalid date'] && format.datetime().validate('2021-02-03T04:05:06Z') == optional.none()
"""


@pytest.mark.parametrize("expression", [line for text in (STRINGS, LISTS, VALUES) for line in text.strip().splitlines()])
def test_true(expression: str) -> None:
    assert run(expression) is True


FAILURES = [
    ("'ab'.charAt(3)", "index out of range: 3"), ("'ab'.substring(3)", "index out of range: 3"), ("'ab'.substring(-1, 1)", "index out of range: -1"),
    ("'ab'.substring(2, 1)", "invalid substring range. start: 2, end: 1"), ("'ab'.indexOf('a', 9)", "index out of range: 9"),
    ("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1"), ("[1].slice(-1, 0)", "cannot slice(-1, 0), negative indexes not supported"),
    ("ns.filter(i, false).min()", "min called on empty list"), ("ns.filter(i, false).max()", "max called on empty list"),
    ("lists.range(-1)", "lists.range: size must be non-negative, got -1"), ("x.list.map(i, dyn(i == 1 ? dyn('a') : 2)).sort()", "list elements must have the same type"),
    ("(s + '%d').format(['a'])", "error during formatting: decimal clause can only be used on integers, was given string"),
    ("(s + '%s').format([])", "index 0 out of range"), ("(s + '%q').format([1])", 'could not parse formatting clause: unrecognized formatting clause "q"'),
    ("(s + '%').format([1])", "could not parse formatting clause: unexpected end of string"),
    ("quantity('x').asInteger()", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ("quantity('1.5').asInteger()", "cannot convert value to integer"),
    ("url('x y').getHost()", 'URL parse error during conversion from string: parse "x y": invalid URI for request'),
    ("s.find('(' + s)", "Illegal regex: error parsing regexp: missing closing ): `(héllo`"),
    ("ip('x').family()", 'IP Address "x" parse error during conversion from string: ParseAddr("x"): unable to parse IP'),
    ("semver('1.2').major()", "No Major.Minor.Patch elements found"),
]


@pytest.mark.parametrize(("expression", "message"), FAILURES)
def test_failures(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        run(expression)
    assert str(caught.value) == message


class Recorder:
    """An authorizer that notes what it is asked and allows `get`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Attributes]] = []

    def authorize(self, user: Any, attributes: Attributes) -> Answer:
        self.asked.append((user, attributes))
        return Answer(attributes.verb == "get", "because", "" if attributes.verb != "fail" else "broken")

    def service_account(self, namespace: str, name: str) -> Any:
        return f"{namespace}/{name}"


AUTHZ_ENVIRONMENT = Environment({"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK})


@pytest.mark.parametrize(("expression", "user", "attributes", "value"), [
    ("authorizer.path('/metrics').check('get').allowed()", "me", Attributes("get", path="/metrics"), True),
    ("authorizer.group('apps').resource('deployments').subresource('scale').namespace('n').name('w').check('update').allowed()", "me",
     Attributes("update", "", "apps", "deployments", "scale", "n", "w"), False),
    ("authorizer.serviceAccount('n', 'sa').group('').resource('pods').check('get').reason()", "n/sa", Attributes("get", resource="pods"), "because"),
    ("authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c=d').check('get').errored()", "me",
     Attributes("get", resource="pods", field_selector="a=b", label_selector="c=d"), False),
    ("authorizer.requestResource.check('fail').error()", "me", Attributes("fail", resource="things"), "broken")])
def test_authorizer(expression: str, user: str, attributes: Attributes, value: Any) -> None:
    recorder = Recorder()
    asked = AuthorizerValue(recorder, "me")
    values = {"authorizer": asked, "authorizer.requestResource": ResourceCheck(asked, Attributes("", resource="things"))}
    assert run(expression, values, AUTHZ_ENVIRONMENT) == value
    assert recorder.asked == [(user, attributes)]


@pytest.mark.parametrize(("expression", "message"), [
    ("authorizer.path('').check('get').allowed()", "path must not be empty"),
    ("authorizer.group('').resource('').check('get').allowed()", "resource must not be empty")])
def test_authorizer_needs_names(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        run(expression, {"authorizer": AuthorizerValue(Recorder(), "me")}, AUTHZ_ENVIRONMENT)


MUTATING = Environment({"object": DYN}).extended({}, (MUTATION,))


@pytest.mark.parametrize(("expression", "type_", "value"), [
    ("Object{}", "Object", {}),
    ("Object{spec: Object.spec{replicas: object.n + 1}}", "Object", {"spec": {"replicas": 4}}),
    ("Object{?a: optional.none(), ?b: optional.of(1)}", "Object", {"b": 1}),
    ("[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('x/y~z'), value: [1]}]", "list(JSONPatch)", [{"op": "add", "path": "/a/x~1y~0z", "value": [1]}]),
    ("type(1) == Object.spec", "bool", False)])
def test_mutations(expression: str, type_: str, value: Any) -> None:
    program = MUTATING.compile(expression)
    assert (str(program.type), json_of(run(expression, {"object": {"n": 3}}, MUTATING))) == (type_, value)


@pytest.mark.parametrize(("expression", "names"), [
    ("Object{spec: Object.spec{template: Object.spec.template{}, list: [Object.spec.list{}], map: {'k': Object.spec.map{}}}}", []),
    ("Object{spec: Object.status{}}", [("Object.status", "Object.spec")]), ("Object.spec{}", [("Object.spec", "Object")]),
    ("Object{spec: Object.spec{list: [Object.spec{}]}}", [("Object.spec", "Object.spec.list")])])
def test_types_within_an_object_are_named_after_their_fields(expression: str, names: list[tuple[str, str]]) -> None:
    assert misnamed(run(expression, {}, MUTATING)) == [
        f'unexpected type name "{name}", expected "{path}", which matches field name path from root Object type' for name, path in names]


@pytest.mark.parametrize("expression", [
    "Object{a: 1}.a == 1", "Object{a: 1} == Object{a: 1}", "Object{a: 1} != Object{a: 2}", "dyn(Object{a: 1}) != dyn({'a': 1})", "has(Object{a: 1}.a)",
    "!has(Object{a: 1}.b)", "type(Object.spec{}) == Object.spec", "JSONPatch{op: 'add', path: '/'}.op == 'add'"])
def test_made_values(expression: str) -> None:
    assert run(expression, {}, MUTATING) is True


def test_fields_of_a_patch_are_text() -> None:
    with pytest.raises(EvaluationError, match="unexpected type int for JSONPatchType 'op' field"):
        run("JSONPatch{op: dyn(1)}", {}, MUTATING)


def test_every_overload_has_its_own_id() -> None:
    seen: dict[str, str] = {}
    for name, function in ENVIRONMENT._functions.items():
        for overload in function.overloads:
            assert seen.setdefault(overload.id, name) == name
