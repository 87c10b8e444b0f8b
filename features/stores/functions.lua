#!lua name=fraud1
-- State rows inside Redis: the same bytes as the compiled loops of features/state make.
-- A property test holds the two together. Layout and field numbers are those of features/state/layout.py.
--
-- Redis has only doubles: times (microseconds), amounts and sums stay below 2^53; 64-bit hashes and verdict keys, which
-- do not, are kept as bytes or as two halves.

local U32 = 4294967295
local floor, max, min, sub, byte, char, rep, pack, unpack

-- The libraries are not there yet while this file is loaded.
local function prepare()
    if floor == nil then
        floor, max, min = math.floor, math.max, math.min
        sub, byte, char, rep = string.sub, string.byte, string.char, string.rep
        pack, unpack = struct.pack, struct.unpack
    end
end

local ENTITY_BYTES, PAIR_BYTES = 4096, 256
local BUCKETS_AT, BUCKET, RISK_AT, AMOUNTS_AT, VERDICTS_AT, RING_AT = 128, 56, 2424, 2760, 2944, 3136
local VERDICTS, RING, EVENT, PAIR_AT = 24, 24, 40, 64

-- width in microseconds, slots, first slot
local MIN, HOUR, DAY = 60000000, 3600000000, 86400000000
local LEVELS = { { 2 * MIN, 6, 0 }, { 10 * MIN, 7, 6 }, { 3 * HOUR, 9, 13 }, { DAY, 8, 22 }, { 3 * DAY, 11, 30 } }
local RISKS = { { 3 * HOUR, 9, 0 }, { DAY, 8, 9 }, { 3 * DAY, 11, 17 } }
local PAIRS = { { 5 * MIN, 2, 0 }, { 30 * MIN, 3, 2 }, { 8 * HOUR, 3, 5 }, { 42 * HOUR, 4, 8 }, { 180 * HOUR, 4, 12 } }

-- A row while it is changed: its bytes and the stretches (by place) that differ from them. Stretches never overlap.
local function cut(state, at, size)
    return state.new[at] or sub(state.row, at + 1, at + size)
end

local function put(state, at, bytes)
    state.new[at] = bytes
end

local function whole(state)
    local places = {}
    for at in pairs(state.new) do
        places[#places + 1] = at
    end
    table.sort(places)
    local pieces, from = {}, 1
    for _, at in ipairs(places) do
        local bytes = state.new[at]
        pieces[#pieces + 1] = sub(state.row, from, at)
        pieces[#pieces + 1] = bytes
        from = at + #bytes + 1
    end
    pieces[#pieces + 1] = sub(state.row, from)
    return table.concat(pieces)
end

-- A change of 14 fields: hashes stay bytes.
local function change_of(text)
    local c = {}
    c.at, c.amount, c.log, c.bin = unpack('<i8i8i8i8', text)
    c.tx, c.card, c.merchant = sub(text, 33, 40), sub(text, 41, 48), sub(text, 49, 56)
    c.mcc, c.flags, c.version, c.ratio, c.sign, c.counted = unpack('<i8i8i8i8i8i8', text, 65)
    return c
end

local function label_of(text)
    local l = {}
    l.at, l.fraud = unpack('<i8i8', text)
    l.tx = sub(text, 17, 24)
    l.paid, l.unusual, l.source, l.old_at, l.old_fraud, l.replaces = unpack('<i8i8i8i8i8i8', text, 25)
    return l
end

-- Register and rank of a hash for the distinct counter: 5 bits, then the place of the first set bit of the next 14.
local function register_of(hash)
    local b0, b1, b2 = byte(hash, 1, 3)
    local low = b0 + 256 * b1 + 65536 * b2
    local rest, rank = floor(low / 32), 1
    while rank < 15 and rest % 2 == 0 do
        rank = rank + 1
        rest = floor(rest / 2)
    end
    return low % 32, rank
end

local function add_to_bucket(cell, epoch, c, register, rank)
    local sum, logs, squares, _, count, largest = unpack('<i8i8i8I4I4I4', cell)
    local sums = pack('<i8i8i8I4I4', sum + c.sign * c.amount, logs + c.sign * c.log,
        squares + c.sign * c.log * c.log, epoch, max(count + c.sign, 0))
    if c.sign < 0 then
        return sums .. sub(cell, 33)
    end
    local place = 41 + floor(register / 2)
    local held = byte(cell, place)
    if register % 2 == 0 then
        held = held - held % 16 + max(held % 16, rank)
    else
        held = held % 16 + 16 * max(floor(held / 16), rank)
    end
    return sums .. pack('<I4', max(largest, min(c.amount, U32))) .. sub(cell, 37, place - 1) .. char(held)
        .. sub(cell, place + 1)
end

local function absorb_entity(state, c, other)
    local head = cut(state, 8, 32)
    local first, last, count, sum = unpack('<i8i8i8i8', head)
    if c.sign > 0 then
        first = first == 0 and c.at or min(first, c.at)
        last = max(last, c.at)
    end
    put(state, 8, pack('<i8i8i8i8', first, last, count + c.sign, sum + c.sign * c.amount))
    local register, rank = register_of(other)
    for _, level in ipairs(LEVELS) do
        local epoch = floor(c.at / level[1])
        local at = BUCKETS_AT + (level[3] + epoch % level[2]) * BUCKET
        local cell = cut(state, at, BUCKET)
        local held = unpack('<I4', cell, 25)
        if held <= epoch then
            if held < epoch then
                cell = rep('\0', BUCKET)
            end
            put(state, at, add_to_bucket(cell, epoch, c, register, rank))
        end
    end
    local at = AMOUNTS_AT + 4 * c.bin
    put(state, at, pack('<I4', max(unpack('<I4', cut(state, at, 4)) + c.sign, 0)))
end

-- 64-bit unsigned order of two hashes given as little-endian bytes.
local function is_below(one, other)
    local low, high = unpack('<I4I4', one)
    local other_low, other_high = unpack('<I4I4', other)
    return high < other_high or (high == other_high and low < other_low)
end

local function find_event(ring, tx)
    for slot = 0, RING - 1 do
        local at = slot * EVENT
        if sub(ring, at + 1, at + 8) == tx and unpack('<i8', ring, at + 9) ~= 0 then
            return slot
        end
    end
    return -1
end

local function insert_event(state, c, other)
    local ring = cut(state, RING_AT, RING * EVENT)
    local slot = RING - 1
    while slot >= 0 do
        local at = slot * EVENT
        local when = unpack('<i8', ring, at + 9)
        if when < c.at or (when == c.at and is_below(sub(ring, at + 1, at + 8), c.tx)) then
            break
        end
        slot = slot - 1
    end
    if slot < 0 then
        return
    end
    local record = c.tx .. pack('<i8', c.at) .. other
        .. pack('<I4I4I2', min(c.amount, U32), 0, c.mcc) .. char(c.flags, 0)
        .. pack('<I2I2', c.ratio % 65536, c.version % 65536)
    put(state, RING_AT, sub(ring, EVENT + 1, (slot + 1) * EVENT) .. record .. sub(ring, (slot + 1) * EVENT + 1))
end

local function remove_event(state, c)
    local ring = cut(state, RING_AT, RING * EVENT)
    local slot = find_event(ring, c.tx)
    if slot >= 0 then
        put(state, RING_AT, rep('\0', EVENT) .. sub(ring, 1, slot * EVENT) .. sub(ring, (slot + 1) * EVENT + 1))
    end
end

local function absorb_risk(state, when, labels, frauds)
    for _, level in ipairs(RISKS) do
        local epoch = floor(when / level[1])
        local at = RISK_AT + 12 * (level[3] + epoch % level[2])
        local held, known, bad = unpack('<I4I4I4', cut(state, at, 12))
        if held <= epoch and not (labels < 0 and held < epoch) then
            if held < epoch then
                known, bad = 0, 0
            end
            put(state, at, pack('<I4I4I4', epoch, max(known + labels, 0), max(bad + frauds, 0)))
        end
    end
end

-- The ring of verdicts: 24 keys, ascending; a key is payment time (ms) << 20 | 16 bits of the id << 4 | 4 bits.
local function insert_verdict(state, l)
    local ms = floor(l.paid / 1000)
    local part = byte(l.tx, 1) + 256 * byte(l.tx, 2)
    local high = floor(ms / 4096)
    local low = (ms % 4096) * 1048576 + part * 16 + 4 * l.unusual + (l.fraud ~= 0 and 2 or 1)
    local ring, key = cut(state, VERDICTS_AT, VERDICTS * 8), pack('<I4I4', low, high)
    local slot = -1
    for index = 0, VERDICTS - 1 do
        local held_low, held_high = unpack('<I4I4', ring, index * 8 + 1)
        if held_high == high and floor(held_low / 16) == floor(low / 16) then
            put(state, VERDICTS_AT, sub(ring, 1, index * 8) .. key .. sub(ring, index * 8 + 9))
            return
        end
        if held_high < high or (held_high == high and held_low < low) then
            slot = index
        end
    end
    if slot >= 0 then
        put(state, VERDICTS_AT, sub(ring, 9, (slot + 1) * 8) .. key .. sub(ring, (slot + 1) * 8 + 1))
    end
end

local function apply_entity(state, l)
    -- labels, frauds, last fraud, last label
    local labels, frauds, last_fraud, last_label = unpack('<i8i8i8i8', cut(state, 40, 32))
    if l.replaces ~= 0 then
        absorb_risk(state, l.old_at, -1, -l.old_fraud)
        labels, frauds = labels - 1, frauds - l.old_fraud
    end
    absorb_risk(state, l.at, 1, l.fraud)
    if l.fraud ~= 0 then
        last_fraud = max(last_fraud, l.paid)
    end
    put(state, 40, pack('<i8i8i8i8', labels + 1, frauds + l.fraud, last_fraud, max(last_label, l.at)))
    insert_verdict(state, l)
end

local function absorb_pair(state, c)
    local first, last, count, sum = unpack('<i8i8i8i8', cut(state, 0, 32))
    if c.sign > 0 then
        first = first == 0 and c.at or min(first, c.at)
        last = max(last, c.at)
    end
    put(state, 0, pack('<i8i8i8i8', first, last, count + c.sign, sum + c.sign * c.amount))
    for _, level in ipairs(PAIRS) do
        local epoch = floor(c.at / level[1])
        local at = PAIR_AT + 12 * (level[3] + epoch % level[2])
        local held, number, total = unpack('<I4I4I4', cut(state, at, 12))
        if held <= epoch then
            if held < epoch then
                number, total = 0, 0
            end
            total = min(max(total + c.sign * c.amount, 0), U32)
            put(state, at, pack('<I4I4I4', epoch, max(number + c.sign, 0), total))
        end
    end
end

local function apply_pair(state, l)
    local labels, frauds, last_fraud = unpack('<i8i8i8', cut(state, 32, 24))
    if l.replaces ~= 0 then
        labels, frauds = labels - 1, frauds - l.old_fraud
    end
    if l.fraud ~= 0 then
        last_fraud = max(last_fraud, l.paid)
    end
    put(state, 32, pack('<i8i8i8', labels + 1, frauds + l.fraud, last_fraud))
end

-- What is done to a row, by letter: absorb, retract (sign -1), label; of a card, another entity, a pair.
local DOES = {
    ac = function(state, text)
        local c = change_of(text)
        if c.counted ~= 0 then absorb_entity(state, c, c.merchant) end
        insert_event(state, c, c.merchant)
    end,
    ae = function(state, text)
        local c = change_of(text)
        if c.counted ~= 0 then absorb_entity(state, c, c.card) end
        insert_event(state, c, c.card)
    end,
    ap = function(state, text)
        local c = change_of(text)
        if c.counted ~= 0 then absorb_pair(state, c) end
    end,
    rc = function(state, text)
        local c = change_of(text)
        if c.counted ~= 0 then absorb_entity(state, c, c.merchant) end
        remove_event(state, c)
    end,
    re = function(state, text)
        local c = change_of(text)
        if c.counted ~= 0 then absorb_entity(state, c, c.card) end
        remove_event(state, c)
    end,
    lc = function(state, text) apply_entity(state, label_of(text)) end,
    lp = function(state, text) apply_pair(state, label_of(text)) end,
}
DOES.rp, DOES.le = DOES.ap, DOES.lc

-- KEYS: a row's hash. ARGS: its size, its time to live (ms, 0: none), then units of one position each: field of the
-- mark ('' without one), offset, number of changes, and of each change its letters and its bytes.
-- A unit at or below its mark is left out. Returns the number of units applied.
local function change(keys, args)
    prepare()
    local key, size, life = keys[1], tonumber(args[1]), tonumber(args[2])
    local state, applied, marks = nil, 0, {}
    local index = 3
    while index <= #args do
        local field, offset, count = args[index], tonumber(args[index + 1]), tonumber(args[index + 2])
        local mark = -1
        if field ~= '' then
            mark = marks[field] or tonumber(redis.call('HGET', key, field) or -1)
        end
        if field == '' or offset > mark then
            if state == nil then
                state = { row = redis.call('HGET', key, 'r') or rep('\0', size), new = {} }
            end
            for number = 0, count - 1 do
                DOES[args[index + 3 + 2 * number]](state, args[index + 4 + 2 * number])
            end
            if field ~= '' then
                marks[field] = offset
            end
            applied = applied + 1
        end
        index = index + 3 + 2 * count
    end
    if state ~= nil then
        redis.call('HSET', key, 'r', whole(state))
        redis.call('HINCRBY', key, 'n', 1)
        for field, offset in pairs(marks) do
            redis.call('HSET', key, field, string.format('%.0f', offset))
        end
        if life > 0 then
            redis.call('PEXPIRE', key, life)
        end
    end
    return applied
end

-- KEYS: a row's hash. ARGS: as of `change`, with the version of the row that was read and the row as the reader made it
-- put before the units. Nobody else wrote it since: it is stored as it stands, for a third of the cost; otherwise the
-- units are applied to what is there. The bytes are the same either way. Returns the number of units applied.
local function set(keys, args)
    local key, expected = keys[1], args[3]
    if (redis.call('HGET', key, 'n') or '0') == expected then
        local marks, first, units, index = {}, nil, 0, 5
        while index <= #args do
            local field, offset = args[index], tonumber(args[index + 1])
            if field ~= '' then
                if offset <= (marks[field] or tonumber(redis.call('HGET', key, field) or -1)) then
                    break
                end
                marks[field] = offset
                first = first or field
            end
            units = units + 1
            index = index + 3 + 2 * tonumber(args[index + 2])
        end
        if index > #args then
            local version = tonumber(expected) + 1
            if first == nil then
                redis.call('HSET', key, 'r', args[4], 'n', version)
            else
                redis.call('HSET', key, 'r', args[4], 'n', version, first, string.format('%.0f', marks[first]))
            end
            for field, offset in pairs(marks) do
                if field ~= first then
                    redis.call('HSET', key, field, string.format('%.0f', offset))
                end
            end
            local life = tonumber(args[2])
            if life > 0 and version % 16 == 1 then
                redis.call('PEXPIRE', key, life)
            end
            return units
        end
    end
    local rest = { args[1], args[2] }
    for index = 5, #args do
        rest[index - 2] = args[index]
    end
    return change(keys, rest)
end

-- KEYS: the hash of highest offsets. ARGS: field, offset, ...
local function note(keys, args)
    for index = 1, #args, 2 do
        local held = tonumber(redis.call('HGET', keys[1], args[index]) or -1)
        if tonumber(args[index + 1]) > held then
            redis.call('HSET', keys[1], args[index], args[index + 1])
        end
    end
    return #args / 2
end

redis.register_function('fraud1_change', change)
redis.register_function('fraud1_set', set)
redis.register_function('fraud1_note', note)
