"""Structural schemas: what a CustomResourceDefinition says its objects look like, and what follows from it for an object.

A schema is the dictionary of `openAPIV3Schema` as it was sent. Each module does one thing with it:

* `types`: the type that patches, applies and managed fields go by;
* `pruning`: unknown fields and nulls that go; `defaulting`: values that come;
* `embedded`: metadata of resources inside a resource; `lists`: sets and maps without duplicates;
* `values`: whether values are what the schema allows, and `formats` of text;
* `decoding`: the whole way from JSON to an object with defaults.

What visits objects is compiled lazily, and only for those parts of a schema that have something to say, so a schema of hundreds
of kilobytes costs next to nothing until objects with those fields come. Source: KEP-95; API extension docs, "Specifying a
structural schema".
"""
from __future__ import annotations

from tiffin.machinery.structural.types import custom_type, structural_type

__all__ = ["Schema", "custom_type", "structural_type"]

Schema = dict[str, object]
