"""JSON Web Tokens of other issuers (OpenID Connect). Source: KEP-3331, structured authentication configuration."""
