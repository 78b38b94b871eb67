-- Runs in the game's server. It prepares the player, and does what the file `command` in the world's folder asks for:
--   N find RANGE x z x z ...      the first of these places where one can stand in the open
--   N place RANGE x y z yaw pitch  the player there; if RANGE > 0, all is as it was, and the land is loaded so far around
-- It answers through the pipe `answers`: "joined", "N ...", and after every step "time SECONDS".
local world = minetest.get_worldpath()
local answers = assert(io.open(world .. "/answers", "w"))
answers:setvbuf("line")
local HOTBAR = {"default:cobble", "default:wood", "default:stonebrick", "default:dirt", "default:sandstone",
	"default:brick", "default:tree", "default:obsidian", "default:glass"}
local BLOCK = 16
local player

local function answer(...)
	answers:write(string.format(...), "\n")
end

minetest.send_join_message = function() end
minetest.send_leave_message = function() end
minetest.get_server_status = function() return "" end
minetest.override_item("", {range = 4.5})

local function equip()
	local inventory = player:get_inventory()
	inventory:set_list("main", {})
	for slot, name in ipairs(HOTBAR) do
		inventory:set_stack("main", slot, name .. " 99")
	end
end

minetest.register_on_joinplayer(function(joined)
	player = joined
	player:hud_set_flags({hotbar = false, healthbar = false, crosshair = false, wielditem = true, breathbar = false,
		minimap = false, minimap_radar = false, basic_debug = false})
	player:set_clouds({speed = {x = 0, z = 0}})
	player:set_inventory_formspec("")
	local name = player:get_player_name()
	local privileges = minetest.get_player_privs(name)
	privileges.fast, privileges.interact = true, true
	minetest.set_player_privs(name, privileges)
	equip()
	answer("joined")
end)

-- The land as it was before the player changed it, so that a place can be visited again as it was: whole map blocks
-- around every hand's breadth of digging and placing, because sand falls, leaves wither and water flows.
local saved = {}

local function save_around(pos, old)
	local low = vector.subtract(vector.multiply(vector.floor(vector.divide(pos, BLOCK)), BLOCK), BLOCK)
	for x = low.x, low.x + 2 * BLOCK, BLOCK do
		for y = low.y, low.y + 2 * BLOCK, BLOCK do
			for z = low.z, low.z + 2 * BLOCK, BLOCK do
				local first = vector.new(x, y, z)
				local key = minetest.hash_node_position(first)
				if not saved[key] then
					local last = vector.add(first, BLOCK - 1)
					local land = VoxelManip(first, last)
					local kept = {first = first, last = last, data = land:get_data(), light = land:get_light_data(),
						param2 = land:get_param2_data()}
					local low_edge, high_edge = land:get_emerged_area()
					if old and vector.equals(vector.subtract(pos, vector.new(pos.x % BLOCK, pos.y % BLOCK, pos.z % BLOCK)), first) then
						local index = VoxelArea:new({MinEdge = low_edge, MaxEdge = high_edge}):indexp(pos)
						kept.data[index] = minetest.get_content_id(old.name)
						kept.param2[index] = old.param2
					end
					saved[key] = kept
				end
			end
		end
	end
end

minetest.register_on_punchnode(function(pos)
	save_around(pos)
end)

minetest.register_on_placenode(function(pos, _, _, old)
	save_around(pos, old)
end)

local function restore()
	for _, object in pairs(minetest.luaentities) do
		object.object:remove()
	end
	for _, kept in pairs(saved) do
		local land = VoxelManip(kept.first, kept.last)
		land:set_data(kept.data)
		land:set_light_data(kept.light)
		land:set_param2_data(kept.param2)
		land:write_to_map(false)
	end
	saved = {}
end

local function load(pos, range, done)
	local reach = vector.new(range, math.min(range, 48), range)
	minetest.emerge_area(vector.subtract(pos, reach), vector.add(pos, reach), function(_, _, left)
		if left == 0 then
			done()
		end
	end)
end

-- The feet's place on the ground of a column, or nil where it is not open to the sky, dry and level.
local function stand(x, level, z)
	local around = {}
	for dx = -1, 1 do
		for dz = -1, 1 do
			local y = level + 24
			if minetest.get_node(vector.new(x + dx, y, z + dz)).name ~= "air" then  -- under a hill or a tree
				return nil
			end
			while y > level - 24 and minetest.get_node(vector.new(x + dx, y, z + dz)).name == "air" do
				y = y - 1
			end
			local node = minetest.get_node(vector.new(x + dx, y, z + dz))
			local kind = minetest.registered_nodes[node.name]
			if kind and not kind.walkable and kind.buildable_to and kind.liquidtype == "none" then  -- grass
				y = y - 1
				kind = minetest.registered_nodes[minetest.get_node(vector.new(x + dx, y, z + dz)).name]
			end
			if not kind or not kind.walkable or kind.liquidtype ~= "none" or minetest.get_item_group(node.name, "leaves") > 0 then
				return nil
			end
			around[#around + 1] = y
		end
	end
	if math.max(unpack(around)) - math.min(unpack(around)) > 1 then
		return nil
	end
	return vector.new(x, around[5] + 1, z)
end

local commands = {}

function commands.find(number, words)
	local range = table.remove(words, 1)
	restore()  -- or a hole that was dug passes for ground
	local function try()
		local x, z = table.remove(words, 1), table.remove(words, 1)
		if not z then
			answer("%d none", number)
			return
		end
		local level = minetest.get_spawn_level(x, z)
		if not level then
			return try()
		end
		load(vector.new(x, level, z), range, function()
			local place = stand(x, level, z)
			if place then
				answer("%d found %d %d %d", number, place.x, place.y, place.z)
			else
				try()
			end
		end)
	end
	try()
end

local function is_free(x, y, z)
	for _, height in ipairs({0.1, 1.1}) do
		local kind = minetest.registered_nodes[minetest.get_node(vector.round(vector.new(x, y + height, z))).name]
		if kind and kind.walkable then
			return false
		end
	end
	return true
end

function commands.place(number, words)
	local range, x, y, z, yaw, pitch = unpack(words)
	local function take()
		if range > 0 and not is_free(x, y, z) then
			answer("%d blocked", number)
			return
		end
		player:set_pos(vector.new(x, y, z))
		player:add_velocity(vector.multiply(player:get_velocity(), -1))
		player:set_look_horizontal(math.rad(yaw))
		player:set_look_vertical(math.rad(pitch))
		answer("%d placed", number)
	end
	if range > 0 then
		restore()
		equip()
		load(vector.new(x, y, z), range, take)
	else
		take()
	end
end

local function obey()
	local path = world .. "/command"
	local file = io.open(path)
	if not file then
		return
	end
	local text = file:read("*a")
	file:close()
	os.remove(path)
	local number, verb, rest = text:match("^(%d+) (%a+) (.*)$")
	local words = {}
	for word in rest:gmatch("%S+") do
		words[#words + 1] = tonumber(word)
	end
	commands[verb](tonumber(number), words)
end

local time = 0
minetest.register_globalstep(function(dtime)
	if player then
		obey()
	end
	time = time + dtime
	answer("time %.6f", time)
end)
