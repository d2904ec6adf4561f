-- When the next delivery of each target has to be looked at. How many targets; each: its name, ordered (1 or 0).
local answers = {}
for _ = 1, tonumber(take()) do
  local target = take()
  answers[#answers + 1] = next_look(target, take())
end
return answers
