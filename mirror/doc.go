// Package mirror makes the further copies that objects of mirrored buckets have
// on other mountpaths of their target. Where copies lie, and in what order of steps they
// come and go, is the engine's (core.Store.Arrange); this package decides when:
// soon after a commit, from the pending set that survives crashes, and when a
// reader finds an object missing or damaged. It knows neither jobs nor HTTP.
package mirror
