--- `:Foretrace`, and the same behind the code lenses.

local server = require("foretrace.server")

local api = vim.api
local M = {}

---@class foretrace.Subject What a command is about
---@field client vim.lsp.Client
---@field bufnr integer
---@field uri string
---@field line? integer from 0; where `function` is not known
---@field function? string the qualified name

---@class foretrace.Command
---@field run fun(subject: foretrace.Subject, argument: string)
---@field needs_server boolean
---@field complete? fun(lead: string): string[]

---@param sentence string
local function echo(sentence)
  vim.cmd.redraw() -- a prompt that was just answered would make it wait for <Enter>
  api.nvim_echo({ { "foretrace: " .. sentence } }, false, {})
end

---@param sentence string
local function warn(sentence)
  server.say(sentence, vim.log.levels.WARN)
end

--- Have the server execute one of its commands. What it cannot do it says in a sentence.
---@param subject foretrace.Subject
---@param name string without `foretrace.`
---@param more? table further members of the argument
---@param on_done? fun(result: any)
function M.execute(subject, name, more, on_done)
  local argument = vim.tbl_extend("force", {
    uri = subject.uri,
    line = subject["function"] == nil and subject.line or nil,
    ["function"] = subject["function"],
  }, more or {})
  local params = { command = "foretrace." .. name, arguments = { argument } }
  subject.client:request("workspace/executeCommand", params, function(err, result)
    if err then
      warn(err.message)
    elseif on_done then
      on_done(result)
    end
  end, subject.bufnr)
end

--- Say what became of a prediction or a check.
local function tell(summary)
  if summary == vim.NIL or not summary then
    return
  elseif summary.status == "diverged" then
    warn(summary.text)
  else
    echo(summary.text)
  end
end

local function tell_turn(summary)
  if summary.turns == 0 then
    echo(("%s: no line ran more than once."):format(summary["function"]))
  elseif summary.turn == vim.NIL or summary.turn == nil then
    echo(("%s: all %d turns"):format(summary["function"], summary.turns))
  else
    echo(("%s: turn %d of %d"):format(summary["function"], summary.turn + 1, summary.turns))
  end
end

---@param subject foretrace.Subject
---@param call string
local function predict_call(subject, call)
  echo(("predicting %s …"):format(call))
  M.execute(subject, "otherCall", { call = call }, tell)
end

local ANOTHER = "Another call …"

--- Let the user pick a known call, or write another one.
---@param subject foretrace.Subject
local function ask_for_call(subject)
  local function write(default)
    vim.ui.input({ prompt = "Call to predict: ", default = default }, function(call)
      if call and vim.trim(call) ~= "" then
        predict_call(subject, vim.trim(call))
      end
    end)
  end
  M.execute(subject, "calls", nil, function(known)
    if #known == 0 then
      local name = subject["function"]
      write(name and name:match("[^.]*$") .. "(" or "")
      return
    end
    local choices = vim.list_extend(vim.deepcopy(known), { { call = ANOTHER } })
    vim.ui.select(choices, {
      prompt = "Predict which call?",
      kind = "foretrace",
      format_item = function(item)
        return item.origin and item.origin ~= "given" and ("%s  (%s)"):format(item.call, item.origin) or item.call
      end,
    }, function(item)
      if item and item.call == ANOTHER then
        write(known[1].call)
      elseif item then
        predict_call(subject, item.call)
      end
    end)
  end)
end

--- The command that lists models, where the server's own command tells which program that is.
---@return string[]?
local function list_command()
  local command = server.find(vim.fs.root(0, server.root_markers))
  if not command or command[#command] ~= "lsp" then
    return nil
  end
  return vim.list_extend(vim.list_slice(command, 1, #command - 1), { "model", "list", "--json" })
end

---@param output vim.SystemCompleted
---@return table[] models
local function models_in(output)
  local ok, listed = pcall(vim.json.decode, output.stdout or "")
  return ok and listed.models or {}
end

---@param subject foretrace.Subject
---@param model string
local function use_model(subject, model)
  local settings = vim.tbl_extend("force", subject.client.settings.foretrace or {}, { model = model })
  subject.client.settings = vim.tbl_extend("force", subject.client.settings, { foretrace = settings })
  subject.client:notify("workspace/didChangeConfiguration", { settings = { foretrace = settings } })
  echo(("%s predicts from now on, in this Neovim."):format(model))
end

---@param subject foretrace.Subject
local function ask_for_model(subject)
  local command = list_command()
  if not command then
    warn("the models cannot be listed with the configured `cmd`; name one, as in :Foretrace model nano")
    return
  end
  vim.system(command, { text = true }, function(output)
    vim.schedule(function()
      local models = models_in(output)
      if #models == 0 then
        warn("no model was found; `foretrace doctor` in a terminal says why.")
        return
      end
      local status = server.statuses[subject.client.id]
      vim.ui.select(models, {
        prompt = ("Which model predicts? Now: %s"):format(status and server.describe(status) or "unknown"),
        kind = "foretrace",
        format_item = function(model)
          local problem = model.problem ~= vim.NIL and model.problem
          return ("%s  (%s)"):format(model.name, problem or model.summary)
        end,
      }, function(model)
        if model then
          use_model(subject, model.name)
        end
      end)
    end)
  end)
end

--- All values of a line, over all times that it ran.
---@param subject foretrace.Subject
local function show_values(subject)
  local params = {
    textDocument = { uri = subject.uri },
    position = { line = subject.line, character = 0 },
  }
  subject.client:request("textDocument/hover", params, function(err, result)
    if err or not result or not result.contents then
      warn(err and err.message or "nothing is known of this line; put the cursor on one that shows a value.")
      return
    end
    local lines = vim.lsp.util.convert_input_to_markdown_lines(result.contents)
    vim.lsp.util.open_floating_preview(lines, "markdown", { border = "rounded", focus_id = "foretrace", wrap = false })
  end, subject.bufnr)
end

local function open_log()
  local path = vim.lsp.log.get_filename()
  if (vim.uv.fs_stat(path) or { size = 0 }).size == 0 then
    echo(("%s is empty: nothing went wrong so far."):format(path))
    return
  end
  vim.cmd.split({ args = { vim.fn.fnameescape(path) } })
  vim.bo.modifiable = false
  vim.cmd.normal({ "G", bang = true })
end

---@type table<string, foretrace.Command>
local commands = {
  predict = {
    needs_server = true,
    run = function(subject)
      echo("predicting …")
      M.execute(subject, "predict", nil, tell)
    end,
  },
  check = {
    needs_server = true,
    run = function(subject)
      echo("checking against a real run …")
      M.execute(subject, "check", nil, tell)
    end,
  },
  call = {
    needs_server = true,
    run = function(subject, argument)
      if argument ~= "" then
        predict_call(subject, argument)
      else
        ask_for_call(subject)
      end
    end,
  },
  cancel = {
    needs_server = true,
    run = function(subject)
      M.execute(subject, "cancel")
    end,
  },
  next = {
    needs_server = true,
    run = function(subject)
      M.execute(subject, "nextIteration", nil, tell_turn)
    end,
  },
  prev = {
    needs_server = true,
    run = function(subject)
      M.execute(subject, "previousIteration", nil, tell_turn)
    end,
  },
  toggle = {
    needs_server = true,
    run = function(subject)
      M.execute(subject, "toggleHints", nil, function(shown)
        echo(shown and "values are shown." or "values are hidden; :Foretrace toggle shows them again.")
      end)
    end,
  },
  values = { needs_server = true, run = show_values },
  view = {
    needs_server = true,
    run = function(subject)
      require("foretrace.view").open(subject)
    end,
  },
  model = {
    needs_server = true,
    run = function(subject, argument)
      if argument ~= "" then
        use_model(subject, argument)
      else
        ask_for_model(subject)
      end
    end,
    complete = function()
      local command = list_command()
      local output = command and vim.system(command, { text = true }):wait(10000)
      return vim.tbl_map(function(model)
        return model.name
      end, output and models_in(output) or {})
    end,
  },
  restart = {
    needs_server = false,
    run = function()
      local client = server.client(api.nvim_get_current_buf())
      if client then
        local subject = M.subject()
        M.execute(subject, "restart", nil, function()
          echo("the model is loaded anew for the next prediction.")
        end)
      else
        server.start_again()
      end
    end,
  },
  log = { needs_server = false, run = open_log },
}

--- Why there is no server in a buffer, and what to do.
---@param bufnr integer
---@return string
local function why_no_server(bufnr)
  if vim.bo[bufnr].filetype ~= "python" then
    return "this is no Python file; open one and put the cursor into a function."
  end
  local command, said = server.find(vim.fs.root(bufnr, server.root_markers))
  if not command then
    return said
  end
  if not server.is_enabled() then
    return 'it is not enabled; put vim.lsp.enable("foretrace") into your init.lua.'
  end
  if #vim.lsp.get_clients({ name = "foretrace", _uninitialized = true }) > 0 then
    return "the server is still starting; try again in a moment."
  end
  return "the server does not run here; :Foretrace restart starts it, :Foretrace log says why it ended."
end

--- What the cursor is on: in the view "Predicted and actual" that is the function which it shows.
---@return foretrace.Subject?
function M.subject()
  local bufnr = api.nvim_get_current_buf()
  local shown = require("foretrace.view").subject(bufnr)
  if shown then
    return shown
  end
  local client = server.client(bufnr)
  if not client then
    return nil
  end
  return {
    client = client,
    bufnr = bufnr,
    uri = vim.uri_from_bufnr(bufnr),
    line = api.nvim_win_get_cursor(0)[1] - 1,
  }
end

--- Run `:Foretrace` with these arguments.
---@param arguments string
function M.run(arguments)
  local name, argument = vim.trim(arguments):match("^(%S*)%s*(.*)$")
  local command = commands[name]
  if not command then
    local names = table.concat(vim.fn.sort(vim.tbl_keys(commands)), ", ")
    warn((name == "" and "what? " or ("there is no %q; "):format(name)) .. "it takes one of " .. names .. ".")
    return
  end
  local subject = M.subject()
  if command.needs_server and not subject then
    warn(why_no_server(api.nvim_get_current_buf()))
    return
  end
  command.run(subject, argument)
end

--- Complete `:Foretrace`.
---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local words = vim.split(line, "%s+", { trimempty = true })
  local place = #words - (lead == "" and 0 or 1)
  local candidates = {} ---@type string[]
  if place == 1 then
    candidates = vim.fn.sort(vim.tbl_keys(commands))
  elseif place == 2 and commands[words[2]] and commands[words[2]].complete then
    candidates = commands[words[2]].complete(lead)
  end
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate, lead)
  end, candidates)
end

--- What runs when a code lens is chosen: the same, with its messages and prompts.
---@return table<string, fun(command: lsp.Command, context: table)>
function M.of_lenses()
  local names = {
    ["foretrace.predict"] = "predict",
    ["foretrace.check"] = "check",
    ["foretrace.otherCall"] = "call",
    ["foretrace.cancel"] = "cancel",
    ["foretrace.nextIteration"] = "next",
    ["foretrace.previousIteration"] = "prev",
  }
  return vim.tbl_map(function(name)
    return function(command, context)
      local argument = command.arguments[1]
      commands[name].run({
        client = assert(vim.lsp.get_client_by_id(context.client_id)),
        bufnr = context.bufnr,
        uri = argument.uri,
        line = argument.line,
        ["function"] = argument["function"],
      }, argument.call or "")
    end
  end, names)
end

return M
