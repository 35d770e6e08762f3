--- "Predicted and actual": both runs of one function in a split, row by row, in the order in which they ran.

local api = vim.api
local M = {}

---@class foretrace.View
---@field subject foretrace.Subject
---@field frames? table the answer to `foretrace/frames`
---@field first_row integer the buffer's line of row 0, from 1
---@field turn? integer

---@type table<integer, foretrace.View> By buffer
local views = {}
local namespace = api.nvim_create_namespace("foretrace.view")
local followed = api.nvim_create_namespace("foretrace.view.line")
local NAME = "foretrace://Predicted and actual"
local SIDE_BY_SIDE = 200 -- columns of the screen; a narrower one has the view below the source
local STORIES = 3 -- the first ones explain the others
local WIDEST = { source = 36, predicted = 40 }

--- What a view is about.
---@param bufnr integer
---@return foretrace.Subject?
function M.subject(bufnr)
  return views[bufnr] and views[bufnr].subject
end

---@param text string
---@param width integer columns
---@return string
local function fit(text, width)
  if vim.fn.strdisplaywidth(text) > width then
    while vim.fn.strdisplaywidth(text) >= width do
      text = vim.fn.strcharpart(text, 0, vim.fn.strchars(text) - 1)
    end
    text = text .. "…"
  end
  return text .. (" "):rep(width - vim.fn.strdisplaywidth(text))
end

---@class foretrace.Piece
---@field [1] string text
---@field [2]? string highlight group

--- The items of one side of a row, each with its colour.
---@param items table[]
---@param row table
---@param confidence number
---@param is_checked boolean a real run is beside the prediction
---@return foretrace.Piece[]
local function pieces_of(items, row, confidence, is_checked)
  local pieces = {} ---@type foretrace.Piece[]
  for _, item in ipairs(items) do
    if #pieces > 0 then
      pieces[#pieces + 1] = { ", " }
    end
    local text = item.text:gsub("\n", "\\n")
    local sure = item.sure ~= vim.NIL and item.sure or nil
    if item.wrong then
      pieces[#pieces + 1] = { text, "ForetraceDiverged" }
    elseif is_checked and row.state == "same" then
      pieces[#pieces + 1] = { text, "ForetraceConfirmed" }
    elseif sure and sure < confidence then
      pieces[#pieces + 1] = { ("%s %d%%"):format(text, 100 * sure), "ForetraceUnsure" }
    else
      pieces[#pieces + 1] = { text, "ForetracePredicted" }
    end
  end
  return pieces
end

---@param pieces foretrace.Piece[]
---@return string
local function text_of(pieces)
  return table.concat(vim.tbl_map(function(piece)
    return piece[1]
  end, pieces))
end

--- Lines of text with the places of their highlights, as they are put together.
local Page = {}
Page.__index = Page

---@param pieces foretrace.Piece[]
function Page:add(pieces)
  local column, line = 0, #self.lines
  for _, piece in ipairs(pieces) do
    if piece[2] then
      table.insert(self.marks, { line, column, column + #piece[1], piece[2] })
    end
    column = column + #piece[1]
  end
  self.lines[#self.lines + 1] = text_of(pieces)
end

--- Pad or cut pieces to a width.
---@param pieces foretrace.Piece[]
---@param width integer
---@return foretrace.Piece[]
local function column(pieces, width)
  local whole = vim.fn.strdisplaywidth(text_of(pieces))
  if whole > width then
    local wrong = vim.iter(pieces):find(function(piece)
      return piece[2] == "ForetraceDiverged"
    end)
    return { { fit(text_of(pieces), width), wrong and wrong[2] or pieces[1][2] } }
  end
  return vim.list_extend(vim.list_slice(pieces), { { (" "):rep(width - whole) } })
end

---@param frames table
---@return string
local function headline(frames)
  local call = frames.call ~= vim.NIL and frames.call or frames["function"]
  local parts = { call }
  if frames.predicting then
    parts[#parts + 1] = ("predicting, %d steps so far"):format(frames.steps)
  elseif frames.predicted and frames.predicted ~= vim.NIL then
    parts[#parts + 1] = ("%s: %s"):format(frames.model, frames.predicted)
  end
  if frames.checking then
    parts[#parts + 1] = "checking"
  elseif frames.actual and frames.actual ~= vim.NIL then
    local python = frames.python ~= vim.NIL and frames.python and "Python " .. frames.python or "real run"
    parts[#parts + 1] = ("%s: %s"):format(python, frames.actual)
  end
  if frames.stale then
    parts[#parts + 1] = "of an older text"
  end
  return table.concat(parts, "  ·  ")
end

---@param frames table
---@return string
local function turn_text(frames)
  if frames.turns == 0 then
    return ""
  elseif frames.turn == nil or frames.turn == vim.NIL then
    return ("all %d turns  "):format(frames.turns)
  end
  return ("turn %d of %d  "):format(frames.turn + 1, frames.turns)
end

--- Write a view's buffer anew.
---@param bufnr integer
---@param view foretrace.View
local function render(bufnr, view)
  local frames = assert(view.frames)
  local settings = view.subject.client.settings.foretrace or {}
  local confidence = settings.confidence or 0.5
  local is_checked = frames.actual ~= nil and frames.actual ~= vim.NIL
  local page = setmetatable({ lines = {}, marks = {} }, Page)
  page:add({ { headline(frames), "Title" } })
  page:add({ { turn_text(frames) .. "<CR> to the line, ]i and [i through the turns, q closes", "ForetraceStale" } })
  for index, story in ipairs(frames.stories) do
    if index > STORIES then
      local more = #frames.stories - STORIES
      local words = more == 1 and "and 1 more difference" or ("and %d more differences"):format(more)
      page:add({ { words, "ForetraceDiverged" } })
      break
    end
    page:add({ { ("line %d: %s"):format(story.line + 1, story.text:gsub("\n", " ")), "ForetraceDiverged" } })
  end
  page:add({})
  local widths = { source = 8, predicted = 9 }
  local rows = {}
  for index, row in ipairs(frames.rows) do
    local shown = {
      source = { { ("  "):rep(row.depth) .. vim.trim(row.source) } },
      predicted = pieces_of(row.predicted, row, confidence, is_checked),
      actual = pieces_of(row.actual, row, confidence, is_checked),
    }
    rows[index] = shown
    for name, widest in pairs(WIDEST) do
      widths[name] = math.min(widest, math.max(widths[name], vim.fn.strdisplaywidth(text_of(shown[name]))))
    end
  end
  local heads = "  line  " .. fit("source", widths.source) .. "  " .. fit("predicted", widths.predicted)
  page:add({ { heads .. (is_checked and "  actual" or ""), "Comment" } })
  view.first_row = #page.lines + 1
  for index, row in ipairs(frames.rows) do
    local mark = { "  " }
    if row.first then
      mark = { "▶ ", "ForetraceDiverged" }
    elseif row.state == "differs" then
      mark = { "≠ ", "ForetraceDiverged" }
    elseif is_checked and row.state == "same" then
      mark = { "✓ ", "ForetraceConfirmed" }
    end
    local number = row.line ~= vim.NIL and row.line and tostring(row.line + 1) or ""
    local pieces = { mark, { ("%4s  "):format(number), "LineNr" } }
    vim.list_extend(pieces, column(rows[index].source, widths.source))
    pieces[#pieces + 1] = { "  " }
    vim.list_extend(pieces, column(rows[index].predicted, widths.predicted))
    if is_checked then
      pieces[#pieces + 1] = { "  " }
      vim.list_extend(pieces, rows[index].actual)
    end
    page:add(pieces)
  end
  if #frames.rows == 0 then
    local problem = frames.problem ~= "" and frames.problem or "Nothing is predicted yet; :Foretrace predict does it."
    page:add({ { problem } })
  elseif frames.output and frames.output ~= "" then
    page:add({})
    page:add({ { "What the real run printed:", "Comment" } })
    for _, line in ipairs(vim.split(vim.trim(frames.output), "\n")) do
      page:add({ { line } })
    end
  end
  vim.bo[bufnr].modifiable = true
  api.nvim_buf_set_lines(bufnr, 0, -1, false, page.lines)
  vim.bo[bufnr].modifiable = false
  api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  for _, mark in ipairs(page.marks) do
    api.nvim_buf_set_extmark(bufnr, namespace, mark[1], mark[2], { end_col = mark[3], hl_group = mark[4] })
  end
end

--- The window that a view's source is in; where there is none, the view's neighbour shows it.
---@param view foretrace.View
---@return integer
local function source_window(view)
  local window = vim.iter(api.nvim_tabpage_list_wins(0)):find(function(each)
    return api.nvim_win_get_buf(each) == view.subject.bufnr
  end)
  if window then
    return window
  end
  vim.cmd("leftabove split")
  window = api.nvim_get_current_win()
  api.nvim_win_set_buf(window, view.subject.bufnr)
  vim.cmd.wincmd("p")
  return window
end

--- Show where a row is in the source, without leaving the view.
---@param view foretrace.View
---@param index integer the row, from 1
---@return integer? window
local function follow(view, index)
  local row = view.frames and view.frames.rows[index]
  local bufnr = view.subject.bufnr
  api.nvim_buf_clear_namespace(bufnr, followed, 0, -1)
  if not row or row.line == vim.NIL or row.line == nil or row.line >= api.nvim_buf_line_count(bufnr) then
    return nil
  end
  local window = source_window(view)
  local text = api.nvim_buf_get_lines(bufnr, row.line, row.line + 1, false)[1]
  api.nvim_win_set_cursor(window, { row.line + 1, #text:match("^%s*") })
  api.nvim_buf_set_extmark(bufnr, followed, row.line, 0, { line_hl_group = "CursorLine" })
  return window
end

---@param bufnr integer the view's
---@return integer? index of the row under the cursor, from 1
local function row_at_cursor(bufnr)
  local index = api.nvim_win_get_cursor(0)[1] - views[bufnr].first_row + 1
  return index >= 1 and index <= #views[bufnr].frames.rows and index or nil
end

--- Ask for the frames and show them.
---@param bufnr integer
---@param on_shown? fun()
local function refresh(bufnr, on_shown)
  local view = views[bufnr]
  local subject = view.subject
  local params = { uri = subject.uri, ["function"] = subject["function"] }
  subject.client:request("foretrace/frames", params, function(err, result)
    if views[bufnr] ~= view or not api.nvim_buf_is_loaded(bufnr) then
      return
    end
    if err or not result or result == vim.NIL then
      return -- the function is being renamed, or is gone: what was known of it stays
    end
    view.frames = result
    render(bufnr, view)
    local turn = result.turn ~= vim.NIL and result.turn or nil
    if turn ~= view.turn then
      view.turn = turn
      local start = turn and result.turnRows and result.turnRows[turn + 1]
      local window = vim.fn.bufwinid(bufnr)
      if start and window ~= -1 then
        api.nvim_win_set_cursor(window, { view.first_row + start, 0 })
        follow(view, start + 1)
      end
    end
    if on_shown then
      on_shown()
    end
  end, subject.bufnr)
end

--- Something has changed in a document.
---@param uri string
function M.updated(uri)
  for bufnr, view in pairs(views) do
    local client = require("foretrace.server").client(view.subject.bufnr)
    if view.subject.uri == uri and client then
      view.subject.client = client -- another one after a restart
      refresh(bufnr)
    end
  end
end

---@param bufnr integer
local function define_keys(bufnr)
  local function map(key, what, action)
    vim.keymap.set("n", key, action, { buffer = bufnr, nowait = true, desc = "foretrace: " .. what })
  end
  map("<CR>", "go to the line", function()
    local index = row_at_cursor(bufnr)
    local window = index and follow(views[bufnr], index)
    if window then
      api.nvim_set_current_win(window)
    end
  end)
  map("]i", "next turn of the loop", function()
    require("foretrace.commands").run("next")
  end)
  map("[i", "previous turn of the loop", function()
    require("foretrace.commands").run("prev")
  end)
  map("q", "close", function()
    vim.cmd.close()
  end)
end

--- The view's buffer, in a window; made where there is none yet.
---@return integer bufnr
local function show_buffer()
  local bufnr = next(views)
  if not bufnr then
    bufnr = api.nvim_create_buf(false, true)
    api.nvim_buf_set_name(bufnr, NAME)
    vim.bo[bufnr].filetype = "foretrace"
    vim.bo[bufnr].bufhidden = "wipe"
    vim.bo[bufnr].modifiable = false
    define_keys(bufnr)
    api.nvim_create_autocmd("BufWipeout", {
      buffer = bufnr,
      callback = function()
        local source = views[bufnr] and views[bufnr].subject.bufnr
        if source and api.nvim_buf_is_valid(source) then
          api.nvim_buf_clear_namespace(source, followed, 0, -1)
        end
        views[bufnr] = nil
      end,
    })
  end
  if vim.fn.bufwinid(bufnr) == -1 then
    vim.cmd(vim.o.columns >= SIDE_BY_SIDE and "botright vertical split" or "botright split")
    local window = api.nvim_get_current_win()
    api.nvim_win_set_buf(window, bufnr)
    vim.wo[window][0].number = false
    vim.wo[window][0].relativenumber = false
    vim.wo[window][0].wrap = false
    vim.wo[window][0].cursorline = true
    vim.wo[window][0].signcolumn = "no"
  else
    api.nvim_set_current_win(vim.fn.bufwinid(bufnr))
  end
  return bufnr
end

--- Show the function that the cursor is in.
---@param subject foretrace.Subject
function M.open(subject)
  if subject["function"] then
    return -- it is open
  end
  subject.client:request("foretrace/functions", { uri = subject.uri }, function(err, result)
    local server = require("foretrace.server")
    if err or not result or result == vim.NIL then
      server.say(err and err.message or "the server does not know this file yet.", vim.log.levels.WARN)
      return
    end
    local inner ---@type table?
    for _, each in ipairs(result.functions) do
      if each.firstLine <= subject.line and subject.line <= each.lastLine then
        inner = (not inner or each.firstLine >= inner.firstLine) and each or inner
      end
    end
    if not inner then
      local problem = result.problem ~= "" and result.problem
      server.say(
        problem or ("line %d is outside any function; put the cursor into one."):format(subject.line + 1),
        vim.log.levels.WARN
      )
      return
    end
    local bufnr = show_buffer()
    subject["function"] = inner["function"]
    views[bufnr] = { subject = subject, first_row = 1 }
    refresh(bufnr)
  end, subject.bufnr)
end

return M
