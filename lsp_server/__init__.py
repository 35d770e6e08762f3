"""The language server: predicted and actual values for any editor that speaks LSP 3.17."""
