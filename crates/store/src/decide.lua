-- One decision over several counters of one identity: all are taken from, or none. The arithmetic is weir-limit's, line by line.
-- KEYS: the counters. ARGV: microseconds since 1970 (0: Redis's own clock), "take" or "give", then five for each counter:
-- its kind, two numbers that depend on it, how much, and whether its refusal counts (0) or is only told (1).
-- Answers four numbers for each: 1 if there was enough, what remains, nanoseconds until it is full or enough, nanoseconds to hold the request.
local now, take = tonumber(ARGV[1]), ARGV[2] == 'take'
local s, n
if now == 0 then
  local time = redis.call('TIME')
  s, n = tonumber(time[1]), tonumber(time[2]) * 1000
else
  s = math.floor(now / 1000000)
  n = (now - s * 1000000) * 1000
end

-- A counter is two whole numbers; what else stands there is nobody's.
local function read(key)
  local value = redis.call('GET', key)
  if not value then return nil end
  local one, other = string.match(value, '^(%-?%d+) (%-?%d+)$')
  return tonumber(one), tonumber(other)
end

-- A counter lives for ten years at most, in milliseconds: Redis refuses a life that overflows, and with it the whole script.
local LONGEST = 315360000000

local writes = {}
local function write(key, one, other, lives)
  lives = math.min(math.ceil(lives / 1000000) + 1000, LONGEST)
  table.insert(writes, { key, string.format('%.0f %.0f', one, other), string.format('%.0f', lives) })
end

local kinds = {}

-- Aligned windows of `per` seconds. The counter: which window, how many taken.
function kinds.w(key, amount, per, cost)
  local current = math.floor(s / per)
  local window, taken = read(key)
  if not window or (window ~= current and window ~= current + 1) then window, taken = current, 0 end
  local left = ((window + 1) * per - s) * 1000000000 - n
  if not take then
    write(key, window, math.max(taken - cost, 0), left)
    return 1, 0, left, 0
  end
  if taken + cost > amount then return 0, 0, left, 0 end
  write(key, window, taken + cost, left)
  return 1, amount - taken - cost, left, 0
end

-- GCRA, one request each `t` nanoseconds. The counter: the next one's theoretical arrival, in seconds and nanoseconds.
-- Differences from now stay exact in a double for 104 days.
function kinds.g(key, t, burst, cost)
  local tau = t * (burst - 1)
  local arrival, fraction = read(key)
  local early = 0
  if arrival then early = math.max((arrival - s) * 1000000000 + fraction - n, 0) end
  local after
  if not take then
    after = math.max(early - t * cost, 0)
  elseif early > tau then
    return 0, 0, early - tau, 0
  else
    after = early + t * cost
  end
  write(key, s + math.floor((n + after) / 1000000000), (n + after) % 1000000000, after)
  local remaining = math.floor((tau + t - after) / t)
  return 1, remaining, t * (burst - remaining), early
end

-- A budget per aligned period. The counter: which period, what is left of it, below zero for a debt.
function kinds.t(key, amount, per, cost)
  local current = math.floor(s / per)
  local period, left = read(key)
  if not period or period > current + 1 then
    period, left = current, amount
  elseif period < current then
    period, left = current, math.min(left + amount * (current - period), amount)
  end
  local function ends(later) return ((period + 1 + later) * per - s) * 1000000000 - n end
  local missing = cost - left
  if take and missing > 0 then return 0, 0, ends(math.ceil(missing / amount) - 1), 0 end
  left = take and left - cost or math.min(left + cost, amount)
  -- Forgotten when every debt is paid and the budget is whole: then no counter says the same.
  write(key, period, left, ends(math.max(math.ceil((amount - left) / amount) - 1, 0)))
  return 1, left, ends(0), 0
end

local answers, refused = {}, false
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * 5
  local enough, remaining, time, early =
    kinds[ARGV[at + 1]](key, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  if enough == 0 and ARGV[at + 5] == '0' then refused = true end
  for _, number in ipairs({ enough, remaining, time, early }) do table.insert(answers, number) end
end
if not refused then
  for _, it in ipairs(writes) do redis.call('SET', it[1], it[2], 'PX', it[3]) end
end
return answers
