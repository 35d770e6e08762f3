-- The command. Everything behind it is loaded when it is first used.
if vim.g.loaded_foretrace then
  return
end
vim.g.loaded_foretrace = true

vim.api.nvim_create_user_command("Foretrace", function(call)
  require("foretrace.commands").run(call.args)
end, {
  nargs = "*",
  desc = "Predicted values of Python code, and whether a real run confirms them",
  complete = function(lead, line)
    return require("foretrace.commands").complete(lead, line)
  end,
})
