--- foretrace in Neovim: values that a model predicts behind the lines of Python code, and what a real run says of them.
---
--- This module wires: the language server's configuration, the highlight groups, and what happens to a buffer while the
--- server is attached to it. `server` finds the program, `hints` draws, `commands` and `view` are what users ask for.

local hints = require("foretrace.hints")
local server = require("foretrace.server")

local api = vim.api
local M = {}

---@class foretrace.Options
---@field cmd? string[] The command of the language server; by default it is looked for, see |foretrace-find|
---@field trusted? boolean|string[]|fun(root: string): boolean Folders that may run things unasked
---@field code_lens? boolean Show lenses beside each function, as |vim.lsp.codelens| does; default true
---@field settings? table The server's settings, such as `{ confidence = 0.8 }`, see |foretrace-settings|

---@type foretrace.Options
M.options = { trusted = false, code_lens = true }

---@type table<string, string> Highlight groups, and what each is linked to by default
M.highlights = {
  ForetracePredicted = "Comment",
  ForetraceConfirmed = "DiagnosticOk",
  ForetraceDiverged = "DiagnosticWarn",
  ForetraceUnsure = "DiagnosticHint",
  ForetraceStale = "NonText",
}

local group = api.nvim_create_augroup("foretrace", {})

---@param options? foretrace.Options
function M.setup(options)
  M.options = vim.tbl_extend("force", M.options, options or {})
  local known = {
    cmd = "table",
    trusted = { "boolean", "table", "function" },
    code_lens = "boolean",
    settings = "table",
  }
  for name, value in pairs(M.options) do
    if not known[name] then
      error(("foretrace: there is no option %q; see :help foretrace-options"):format(name), 0)
    end
    vim.validate(name, value, known[name])
  end
  local config = { cmd = M.options.cmd }
  if M.options.settings and next(M.options.settings) then
    config.settings = { foretrace = M.options.settings }
  end
  vim.lsp.config("foretrace", config)
  vim.lsp.enable("foretrace")
end

--- What lsp/foretrace.lua hands to Neovim.
---@return vim.lsp.Config
function M.config()
  M.define_highlights()
  M.create_autocommands()
  return {
    cmd = server.start,
    filetypes = { "python" },
    root_dir = server.root_dir,
    before_init = function(params, config)
      local settings = config.settings or {}
      if settings.foretrace and not next(settings.foretrace) then
        settings.foretrace = nil -- it would be sent as an empty array
      end
      params.initializationOptions = vim.tbl_extend("keep", params.initializationOptions or {}, {
        settings = settings.foretrace,
        trusted = server.is_trusted(config.root_dir, M.options.trusted),
      })
    end,
    on_init = function(client)
      -- The built-in inlay hints know one colour only: foretrace draws its own, and they shall not show twice.
      client.server_capabilities.inlayHintProvider = nil
    end,
    on_exit = server.on_exit,
    handlers = {
      ["foretrace/didUpdate"] = function(_, result, context)
        M.updated(result.uri, context.client_id)
      end,
      ["foretrace/status"] = function(_, result, context)
        server.statuses[context.client_id] = result
        vim.cmd.redrawstatus()
      end,
    },
    commands = require("foretrace.commands").of_lenses(),
  }
end

--- One line for a status line: the model, the device and what it is doing; empty where foretrace does not run.
---@param bufnr? integer default: the current buffer
---@return string
function M.status(bufnr)
  local client = server.client(bufnr or api.nvim_get_current_buf())
  local status = client and server.statuses[client.id]
  return status and server.describe(status) or ""
end

function M.define_highlights()
  for name, link in pairs(M.highlights) do
    api.nvim_set_hl(0, name, { link = link, default = true })
  end
end

function M.create_autocommands()
  api.nvim_clear_autocmds({ group = group })
  api.nvim_create_autocmd("ColorScheme", { group = group, callback = M.define_highlights })
  api.nvim_create_autocmd("LspAttach", {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == "foretrace" then
        M.attached(event.buf, client)
      end
    end,
  })
  api.nvim_create_autocmd("LspDetach", {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == "foretrace" then
        hints.clear(event.buf)
      end
    end,
  })
  api.nvim_create_autocmd({ "CursorMoved", "CursorMovedI", "BufEnter" }, {
    group = group,
    callback = function(event)
      server.tell_cursor(event.buf)
    end,
  })
end

---@param bufnr integer
---@param client vim.lsp.Client
function M.attached(bufnr, client)
  server.tell_cursor(bufnr)
  hints.follow(bufnr, client)
  hints.refresh(bufnr, client)
  M.refresh_lenses(bufnr)
end

--- The server has something new to show of a document.
---@param uri string
---@param client_id integer
function M.updated(uri, client_id)
  local client = vim.lsp.get_client_by_id(client_id)
  for bufnr in pairs(client and client.attached_buffers or {}) do
    if vim.uri_from_bufnr(bufnr) == uri then
      hints.refresh(bufnr, client)
      M.refresh_lenses(bufnr)
    end
  end
  require("foretrace.view").updated(uri)
end

local lens_requests = {} ---@type table<integer, integer> The newest of each buffer

--- Ask for the lenses anew, once it is quiet for a moment. Not with `vim.lsp.codelens.refresh`: that does nothing while
--- an answer is awaited, and would lose the last change.
---@param bufnr integer
function M.refresh_lenses(bufnr)
  if not M.options.code_lens then
    return
  end
  if vim.lsp.codelens.enable then -- from 0.12 on Neovim asks by itself
    vim.lsp.codelens.enable(true, { bufnr = bufnr })
    return
  end
  local request = (lens_requests[bufnr] or 0) + 1
  lens_requests[bufnr] = request
  vim.defer_fn(function()
    local client = api.nvim_buf_is_loaded(bufnr) and server.client(bufnr)
    if client and lens_requests[bufnr] == request then
      local params = { textDocument = { uri = vim.uri_from_bufnr(bufnr) } }
      client:request("textDocument/codeLens", params, function(err, result, context)
        for index, lens in ipairs(result or {}) do
          lens.range.start.character = index -- by which Neovim sorts those of a line; equal ones come in any order
        end
        vim.lsp.codelens.on_codelens(err, result, context)
      end, bufnr)
    end
  end, 150)
end

return M
