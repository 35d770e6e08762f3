"""Thin handlers, one module for each feature of the protocol: fetch the document, ask, convert, answer."""
