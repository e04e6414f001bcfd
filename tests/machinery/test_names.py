"""Names: what is valid, and the exact complaint where not."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery import names

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


@pytest.mark.parametrize("check, value", [
    (names.is_dns1123_label, "a"), (names.is_dns1123_label, "1-a"), (names.is_dns1123_label, "a" * 63),
    (names.is_dns1123_subdomain, "a.b-c.1"), (names.is_dns1035_label, "a-1"), (names.is_wildcard_dns1123_subdomain, "*.example.com"),
    (names.is_qualified_name, "app"), (names.is_qualified_name, "example.com/App_1.x"), (names.is_label_value, ""), (names.is_label_value, "A_b.c"),
    (names.is_c_identifier, "_A1"), (names.is_env_var_name, "my.odd name-1"), (names.is_config_map_key, "..."[:1] + "profile"),
    (names.is_http_header_name, "X-A"), (names.is_percent, "10%"), (names.is_valid_port_name, "http-1"), (names.is_valid_ip, "::1"),
    (names.is_valid_ip, "010.1.2.3"), (names.is_path_segment_name, "a:b"), (names.is_path_segment_prefix, ".."),
    (names.is_dns1123_subdomain_with_underscore, "_tcp.example.com"), (names.is_fully_qualified_name, "a.b"),
    (names.is_domain_prefixed_path, "acme.io/foo"),
])
def test_valid(check, value):
    assert check(value) == []


@pytest.mark.parametrize("check, value, complaints", [
    (names.is_dns1123_label, "a.b", ["must not contain dots"]),
    (names.is_dns1123_label, "A", [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
        f"character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"]),
    (names.is_dns1123_label, "a" * 64, ["must be no more than 63 characters"]),
    (names.is_dns1123_subdomain, "a" * 254, ["must be no more than 253 characters"]),
    (names.is_label_value, "a" * 64, ["must be no more than 63 bytes"]),
    (names.is_env_var_name, "", ["environment variable name must be non-empty"]),
    (names.is_env_var_name, "a=b", ["a valid environment variable name must consist only of printable ASCII characters other than '='"]),
    (names.is_config_map_key, "..a", ["must not start with '..'"]),
    (names.is_config_map_key, ".", ["must not be '.'"]),
    (names.is_valid_port_num, 0, ["must be between 1 and 65535, inclusive"]),
    (names.is_valid_port_name, "a--b", ["must not contain consecutive hyphens"]),
    (names.is_valid_port_name, "-1", ["must contain at least one letter (a-z)", "must not begin or end with a hyphen"]),
    (names.is_valid_ip, "1.2.3", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
    (names.is_strict_ip, "010.1.2.3", ["must not have leading 0s"]),
    (names.is_strict_ip, "::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]),
    (names.is_path_segment_name, "..", ["may not be '..'"]),
    (names.is_path_segment_name, "a/b%c", ["may not contain '/'", "may not contain '%'"]),
])
def test_complaints(check, value, complaints):
    assert check(value) == complaints


@pytest.mark.parametrize("key, beginnings", [
    ("", ["name part must be non-empty", "name part must consist of"]),
    ("/a", ["prefix part must be non-empty"]),
    ("Bad/a", ["prefix part a lowercase RFC 1123 subdomain must"]),
    ("a/b/c", ["a valid label key must consist of"]),
    ("a" * 64, ["name part must be no more than 63 bytes"]),
])
def test_label_keys(key, beginnings):
    found = names.is_qualified_name(key)
    assert len(found) == len(beginnings)
    assert all(complaint.startswith(beginning) for complaint, beginning in zip(found, beginnings))


@given(st.text(max_size=80))
def test_any_text_gets_an_answer(text):
    """No text makes a check fail, and an ASCII label is a subdomain and a qualified name."""
    for check in (names.is_dns1123_subdomain, names.is_dns1035_label, names.is_label_value, names.is_config_map_key, names.is_valid_port_name,
                  names.is_valid_ip, names.is_strict_ip, names.is_env_var_name, names.is_fully_qualified_name, names.is_domain_prefixed_path):
        assert all(isinstance(complaint, str) for complaint in check(text))
    if not names.is_dns1123_label(text):
        assert names.is_dns1123_subdomain(text) == [] and names.is_qualified_name(text) == []
