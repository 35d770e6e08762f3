--- `:checkhealth foretrace`

local server = require("foretrace.server")

local M = {}

--- What `foretrace doctor` found, line by line.
---@param command string[]
local function report_doctor(command)
  if command[#command] ~= "lsp" then
    vim.health.info("`foretrace doctor` is not asked, since `cmd` is not the program's own `lsp`")
    return
  end
  local doctor = vim.list_extend(vim.list_slice(command, 1, #command - 1), { "doctor" })
  local ok, output = pcall(function()
    return vim.system(doctor, { text = true, timeout = 120000, env = { NO_COLOR = "1" } }):wait()
  end)
  if not ok then
    vim.health.error("`foretrace doctor` did not start: " .. tostring(output))
    return
  end
  for line in vim.gsplit(output.stdout .. output.stderr, "\n", { trimempty = true }) do
    local found, text = line:match("^(%S+) (.*)$")
    if found == "✓" then
      vim.health.ok(text)
    elseif found == "✗" then
      vim.health.error(text)
    else
      vim.health.info(vim.trim(line))
    end
  end
  if output.code ~= 0 then
    vim.health.error(("`foretrace doctor` ended with exit code %d"):format(output.code))
  end
end

local function report_clients()
  local clients = vim.lsp.get_clients({ name = "foretrace" })
  if #clients == 0 then
    vim.health.info("The server does not run now; it starts with the first Python file")
  end
  for _, client in ipairs(clients) do
    local status = server.statuses[client.id]
    local place = client.root_dir and vim.fn.fnamemodify(client.root_dir, ":~") or "single files"
    vim.health.ok(("The server runs for %s: %s"):format(place, status and server.describe(status) or "no status yet"))
    if status then
      local python = status.interpreter
      vim.health.info(("Real runs take %s (%s)"):format(python.path, python.source))
      vim.health.info(status.trusted and "The project is trusted" or "The project is not trusted: nothing runs unasked")
      if status.detail ~= "" then
        vim.health.warn(status.detail)
      end
    end
  end
end

function M.check()
  vim.health.start("foretrace: Neovim")
  if vim.fn.has("nvim-0.11") == 1 then
    local version = vim.version()
    vim.health.ok(("Neovim %d.%d.%d"):format(version.major, version.minor, version.patch))
  else
    vim.health.error("Neovim is too old", "Install 0.11 or newer")
    return
  end
  if server.is_enabled() then
    vim.health.ok("The server is enabled")
  else
    vim.health.warn("The server is not enabled", 'Put vim.lsp.enable("foretrace") into your init.lua')
  end
  report_clients()

  vim.health.start("foretrace: program")
  local here = vim.fs.root(0, server.root_markers) or vim.fs.root(vim.uv.cwd(), server.root_markers)
  local command, said = server.find(here)
  if not command then
    vim.health.error(said, "Install it with `pip install foretrace`, or set `cmd`, see :help foretrace-find")
    return
  end
  vim.health.ok(("%s, from %s"):format(table.concat(command, " "), said))
  report_doctor(command)
end

return M
