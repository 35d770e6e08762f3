-- What `vim.lsp.enable("foretrace")` starts; `vim.lsp.config("foretrace", {...})` changes it as that of any server.
return require("foretrace").config()
