package model

// Small are the configurations that every test run completes. Between them they
// switch on every feature and reach every step.
var Small = []Config{
	{Name: "one to two", Slots: []string{"p", "c", "c"}, Ring: 2, Chunks: 3, Puts: 3, Kills: 1, Frozen: 2},
	{Name: "two to two", Slots: []string{"p", "p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 2},
	{Name: "two kills", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 2, Frozen: 1},
	{Name: "both ways", Slots: []string{"pc", "pc"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1},
	{Name: "lanes", Slots: []string{"p", "xx", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 1},
	{Name: "joining", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 2, Joins: 1, Frozen: 1},
	{Name: "joining three", Slots: []string{"x", "x", "c"}, Ring: 1, Chunks: 1, Loaded: 1, Kills: 2, Joins: 1, Frozen: 1},
	{Name: "leaving", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Joins: 1, Frozen: 1, Leave: true},
	{Name: "cursors", Slots: []string{"p", "c", "c"}, Ring: 2, Chunks: 2, Puts: 3, Kills: 1, Joins: 1, Frozen: 1, Cursors: true},
	{Name: "closing", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 1, Close: true},
	{Name: "chains", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Chain: 2},
	{Name: "chains of two", Slots: []string{"p", "p", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Chain: 2},
	{Name: "chains of three", Slots: []string{"p", "c"}, Ring: 1, Chunks: 4, Puts: 3, Kills: 1, Joins: 1, Frozen: 1, Chain: 3},
	{Name: "closing on chains", Slots: []string{"p", "c"}, Ring: 1, Chunks: 3, Puts: 2, Kills: 1, Joins: 1, Frozen: 1, Chain: 2, Close: true},
	{Name: "tasks", Slots: []string{"p", "c", "c"}, Ring: 2, Chunks: 3, Puts: 3, Kills: 2, Frozen: 1, Tasks: true},
	{Name: "tasks on chains", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Joins: 1, Frozen: 1, Tasks: true, Chain: 2},
	{Name: "requeueing", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 1, Requeue: true},
	{Name: "dropping", Slots: []string{"p", "p", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Drop: true},
}

// Large are the configurations for those who have minutes, the smaller ones first.
var Large = []Config{
	{Name: "two to two, ring of two", Slots: []string{"p", "p", "c", "c"}, Ring: 2, Chunks: 3, Puts: 3, Kills: 1, Frozen: 2},
	{Name: "leaving and joining", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 2, Joins: 2, Frozen: 1, Leave: true},
	{Name: "two lanes", Slots: []string{"p", "cc", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 2},
	{Name: "closing, two to two", Slots: []string{"p", "p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 1, Close: true},
	{Name: "chains, two to two", Slots: []string{"p", "p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 2, Kills: 1, Frozen: 1, Chain: 2},
	{Name: "cursors, two kills", Slots: []string{"p", "c", "c"}, Ring: 2, Chunks: 3, Puts: 4, Kills: 2, Joins: 1, Frozen: 1, Cursors: true},
	{Name: "lanes that end together", Slots: []string{"xx", "cx", "c"}, Ring: 2, Chunks: 2, Loaded: 2, Kills: 1, Frozen: 1, Without: Ticks},
	{Name: "one to three", Slots: []string{"p", "c", "c", "c"}, Ring: 2, Chunks: 3, Puts: 2, Kills: 1, Frozen: 1},
	{Name: "two to two, four messages", Slots: []string{"p", "p", "c", "c"}, Ring: 2, Chunks: 4, Puts: 4, Kills: 1, Frozen: 1},
	{Name: "tasks on chains, closing", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 2, Kills: 1, Joins: 1, Frozen: 1, Tasks: true, Chain: 2, Close: true},
	{Name: "two to two, two kills", Slots: []string{"p", "p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 2, Frozen: 1},
	{Name: "two to two, joining", Slots: []string{"p", "p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Joins: 1, Frozen: 1},
	{Name: "one to three, two kills", Slots: []string{"p", "c", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 2, Frozen: 1},
	{Name: "everything", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 2, Joins: 1, Frozen: 1, Chain: 2, Close: true, Tasks: true, Requeue: true},
}
