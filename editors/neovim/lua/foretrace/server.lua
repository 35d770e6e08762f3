--- The language server: where its program is, what it may run, and what it last said of itself.

local api = vim.api
local M = {}

---@type string[] A folder that has one of these is a project
M.root_markers = { "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git" }

---@type table<integer, table> The last `foretrace/status` of each client
M.statuses = {}

local cursors = {} ---@type table<integer, integer> The line that the server knows of, by buffer

--- foretrace's client in a buffer that it is ready in.
---@param bufnr integer
---@return vim.lsp.Client?
function M.client(bufnr)
  return vim.lsp.get_clients({ name = "foretrace", bufnr = bufnr })[1]
end

---@param sentence string
---@param level? integer one of vim.log.levels
function M.say(sentence, level)
  vim.notify("foretrace: " .. sentence, level or vim.log.levels.INFO)
end

--- The program of a virtual environment.
---@param environment string
---@return string
local function program_in(environment)
  return vim.fs.joinpath(environment, vim.fn.has("win32") == 1 and "Scripts/foretrace.exe" or "bin/foretrace")
end

--- The command that starts the server: as configured, or from `$VIRTUAL_ENV`, a trusted project's `.venv`, or the path.
---@param root? string the project's folder
---@return string[]? command
---@return string said where it comes from, or one sentence on what to do
function M.find(root)
  local configured = vim.lsp.config.foretrace and vim.lsp.config.foretrace.cmd
  if type(configured) == "table" then
    if vim.fn.executable(configured[1]) == 1 then
      return configured, "as configured"
    end
    return nil, ("%s, the configured `cmd`, is no program; correct it or leave it out."):format(configured[1])
  end
  local active = vim.env.VIRTUAL_ENV
  if active and vim.fn.executable(program_in(active)) == 1 then
    return { program_in(active), "lsp" }, "$VIRTUAL_ENV"
  end
  local own = root and program_in(vim.fs.joinpath(root, ".venv"))
  local has_own = own ~= nil and vim.fn.executable(own) == 1
  if has_own and M.is_trusted(root, require("foretrace").options.trusted) then
    return { own, "lsp" }, "the project's .venv"
  end
  local path = vim.fn.exepath("foretrace")
  if path ~= "" then
    return { path, "lsp" }, "the path"
  end
  if has_own then
    return nil,
      ("%s is there, but a project's own programs run only where it is trusted:\n"):format(own)
        .. ('require("foretrace").setup({ trusted = { %q } })'):format(root)
  end
  return nil,
    "the program was not found. Install it with `pip install foretrace` into the active virtual environment or "
      .. "onto the path, or name it in `cmd`; :checkhealth foretrace says more."
end

--- Whether the user trusts a project, by the option `trusted`.
---@param root? string
---@param trusted? boolean|string[]|fun(root: string): boolean
---@return boolean
function M.is_trusted(root, trusted)
  if type(trusted) == "boolean" or not root then
    return trusted == true
  end
  if type(trusted) == "function" then
    return trusted(root) == true
  end
  local here = vim.fs.normalize(vim.uv.fs_realpath(root) or root)
  return vim.iter(trusted or {}):any(function(folder)
    folder = vim.fs.normalize(folder)
    folder = vim.fs.normalize(vim.uv.fs_realpath(folder) or folder)
    return here == folder or vim.startswith(here, folder:gsub("/$", "") .. "/")
  end)
end

--- For Neovim: the project of a buffer. Without a program nothing is started, and that is said once.
---@param bufnr integer
---@param on_dir fun(root?: string)
function M.root_dir(bufnr, on_dir)
  local root = vim.fs.root(bufnr, M.root_markers)
  local command, said = M.find(root)
  if command then
    on_dir(root)
  else
    vim.notify_once("foretrace: " .. said, vim.log.levels.WARN)
  end
end

--- For Neovim: start the server.
function M.start(dispatchers, config)
  local command, said = M.find(config.root_dir)
  if not command then
    error("foretrace: " .. said, 0)
  end
  return vim.lsp.rpc.start(command, dispatchers, {
    cwd = config.cmd_cwd,
    env = config.cmd_env,
    detached = config.detached,
  })
end

--- For Neovim: a server that ends by itself has crashed.
function M.on_exit(code, signal, client_id)
  M.statuses[client_id] = nil
  if code ~= 0 and signal == 0 or (signal ~= 0 and signal ~= 15) then
    local how = signal ~= 0 and ("by signal %d"):format(signal) or ("with exit code %d"):format(code)
    vim.schedule(function()
      M.say(
        ("the server has ended %s. :Foretrace restart starts it again, :Foretrace log says why."):format(how),
        vim.log.levels.WARN
      )
    end)
  end
end

---@return boolean
function M.is_enabled()
  if vim.lsp.is_enabled then
    return vim.lsp.is_enabled("foretrace")
  end
  return vim.lsp._enabled_configs.foretrace ~= nil -- 0.11 does not tell
end

--- Start the server again: after a crash, or since something about it has changed.
function M.start_again()
  vim.lsp.enable("foretrace", false)
  vim.lsp.enable("foretrace")
end

--- Tell the server where the user is: that function is predicted first.
---@param bufnr integer
function M.tell_cursor(bufnr)
  if bufnr ~= api.nvim_get_current_buf() then
    return
  end
  local client = M.client(bufnr)
  local line = api.nvim_win_get_cursor(0)[1] - 1
  if client and cursors[bufnr] ~= line then
    cursors[bufnr] = line
    client:notify("foretrace/cursor", {
      uri = vim.uri_from_bufnr(bufnr),
      position = { line = line, character = 0 },
    })
  end
end

--- A status in a few words.
---@param status table `foretrace/status`
---@return string
function M.describe(status)
  local name = status.model and status.model.name or ""
  local doing = status.state
  if status.checking > 0 then
    doing = "checking"
  elseif status.state == "busy" or status.predicting > 0 and status.state == "ready" then
    doing = "predicting"
  elseif status.state == "stopped" then
    doing = "not loaded"
  elseif status.state == "failed" then
    doing = "failed, see :Foretrace log"
  end
  local device = status.device and status.device ~= "" and " on " .. status.device or ""
  return ("%s%s: %s"):format(name ~= "" and name or "foretrace", device, doing)
end

return M
