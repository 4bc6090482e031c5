-- Health of an LLMServingPool for Argo CD: resource.customizations.health.serving.sagesched.io_LLMServingPool
local function progressing(message)
  return {status = "Progressing", message = message}
end

if obj.status == nil or obj.status.conditions == nil then
  return progressing("the operator has not taken the pool up yet")
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return progressing("the operator has not seen this change yet")
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end

local function words(condition)
  if condition.message ~= nil and condition.message ~= "" then
    return condition.reason .. ": " .. condition.message
  end
  return condition.reason
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

-- Nothing goes on before somebody acts, or something the pool should have does not work.
for _, name in ipairs({"Stalled", "Degraded"}) do
  if holds(name) then
    return {status = "Degraded", message = words(conditions[name])}
  end
end

if not holds("Ready") then
  if conditions.Ready == nil then
    return progressing("the operator has not judged the pool yet")
  end
  return progressing(words(conditions.Ready))
end

if obj.spec.suspend then
  return {status = "Suspended", message = words(conditions.Ready)}
end
-- The pool serves, in another order than asked for, or with more work than it can take: worth words, no alarm.
for _, name in ipairs({"SchedulingDegraded", "BacklogSaturated"}) do
  if holds(name) then
    return {status = "Healthy", message = words(conditions[name])}
  end
end
return {status = "Healthy", message = words(conditions.Ready)}
