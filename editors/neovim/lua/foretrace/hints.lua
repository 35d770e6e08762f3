--- Values behind the lines, in the colour of their state. Extmarks of our own: built-in inlay hints have one colour.

local api = vim.api
local M = {}

---@class foretrace.Hint
---@field line integer from 0
---@field character integer
---@field text string
---@field state "predicted"|"confirmed"|"diverged"|"unsure"|"stale"
---@field function string

M.namespace = api.nvim_create_namespace("foretrace")

local groups = {
  predicted = "ForetracePredicted",
  confirmed = "ForetraceConfirmed",
  diverged = "ForetraceDiverged",
  unsure = "ForetraceUnsure",
  stale = "ForetraceStale",
}
local asked = {} ---@type table<integer, "once"|"again"> Buffers that an answer is awaited for
local followed = {} ---@type table<integer, integer> The client whose hints are in a buffer
local edits = {} ---@type table<integer, integer> How often a buffer was changed

---@param bufnr integer
function M.clear(bufnr)
  followed[bufnr] = nil
  asked[bufnr] = nil
  if api.nvim_buf_is_valid(bufnr) then
    api.nvim_buf_clear_namespace(bufnr, M.namespace, 0, -1)
  end
end

--- Whether the user wants to see hints: by the setting, and by the toggle.
---@param client vim.lsp.Client
---@return boolean
local function are_wanted(client)
  local settings = client.settings.foretrace or {}
  local status = require("foretrace.server").statuses[client.id] or {}
  return settings.hints ~= false and status.hints ~= false
end

--- Ask for the hints and draw them. One request is under way at a time; what changes meanwhile is asked for afterwards.
---@param bufnr integer
---@param client vim.lsp.Client
function M.refresh(bufnr, client)
  if asked[bufnr] then
    asked[bufnr] = "again"
    return
  end
  asked[bufnr] = "once"
  local sent = client:request("foretrace/hints", { uri = vim.uri_from_bufnr(bufnr) }, function(_, result)
    local again = asked[bufnr] == "again"
    asked[bufnr] = nil
    if not api.nvim_buf_is_loaded(bufnr) or followed[bufnr] ~= client.id then
      return
    end
    -- An answer about an older text is dropped; the edit has asked again.
    if result and result.version == vim.lsp.util.buf_versions[bufnr] then
      M.draw(bufnr, are_wanted(client) and result.hints or {})
    end
    if again then
      M.refresh(bufnr, client)
    end
  end, bufnr)
  if not sent then
    asked[bufnr] = nil
  end
end

---@param bufnr integer
---@param hints foretrace.Hint[]
function M.draw(bufnr, hints)
  api.nvim_buf_clear_namespace(bufnr, M.namespace, 0, -1)
  local lines = api.nvim_buf_line_count(bufnr)
  for _, hint in ipairs(hints) do
    if hint.line < lines then
      api.nvim_buf_set_extmark(bufnr, M.namespace, hint.line, 0, {
        virt_text = { { " " }, { hint.text, groups[hint.state] } },
        virt_text_pos = "eol",
        hl_mode = "combine",
        priority = 100,
      })
    end
  end
end

--- Keep hints true while the user types: those of changed lines go at once, the others become stale or come back.
---@param bufnr integer
---@param client vim.lsp.Client
function M.follow(bufnr, client)
  if followed[bufnr] == client.id then
    return
  end
  followed[bufnr] = client.id
  api.nvim_buf_attach(bufnr, false, {
    on_lines = function(_, _, _, first, _, last)
      if followed[bufnr] ~= client.id then
        return true -- detach
      end
      api.nvim_buf_clear_namespace(bufnr, M.namespace, first, math.max(last, first + 1))
      local edit = (edits[bufnr] or 0) + 1
      edits[bufnr] = edit
      vim.defer_fn(function()
        if edits[bufnr] == edit and followed[bufnr] == client.id and not client:is_stopped() then
          M.refresh(bufnr, client)
        end
      end, 100)
    end,
    on_reload = function() -- without it, `:edit` would end this
      M.refresh(bufnr, client)
    end,
  })
end

return M
