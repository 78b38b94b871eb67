-- Runs in the game's client, after the player moved and before the frame is drawn: one line a step in
-- the game's log (what is printed would also be shown in the picture, as chat).
-- The look is that of the step before, as the client told it to the server.
local events = {}

local function note(what, pos, name)
	events[#events + 1] = string.format("%s,%d,%d,%d,%s", what, pos.x, pos.y, pos.z, name)
end

minetest.register_on_dignode(function(pos, node)
	note("dig", pos, node.name)
end)

minetest.register_on_placenode(function(pointed, node)
	-- grass and the like give way: the block stands in their place, not before them
	local under, above = minetest.get_node_or_nil(pointed.under), minetest.get_node_or_nil(pointed.above)
	local within = under and under.name == node.name and not (above and above.name == node.name)
	note("place", within and pointed.under or pointed.above, node.name)
end)

minetest.register_globalstep(function(dtime)
	local player = minetest.localplayer
	if not player then
		return
	end
	local pos = player:get_pos()
	minetest.log("action", string.format("@ %.6f %.5f %.5f %.5f %.4f %.4f %s", dtime, pos.x, pos.y, pos.z,
		math.deg(player:get_last_look_horizontal()), math.deg(player:get_last_look_vertical()), table.concat(events, " ")))
	events = {}
end)
