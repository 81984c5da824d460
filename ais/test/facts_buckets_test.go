package test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What tests of bucket calls see in corner cases.
//
//	19.01 bodies of GET and DELETE      here
//	19.02 list without a value          here
//	19.03 strictness of values          here; archive: 501 beyond a valid value
//	19.04 flags and sizes               here; cmn/wire: TestMsgpackEntryBytes
//	19.05 bits of a remote listing      no backend in this release: 404, here
//	19.06 directory entries             TestListingWithoutRecursion
//	19.07 exactly full page             TestTokensCanBeReplayed
//	19.08 replayed tokens               TestTokensCanBeReplayed, and backwards here
//	19.09 prefix with and without slash TestListingWithoutRecursion
//	19.10 NAME_ONLY                     here; archive members: 501
//	19.11 listing of a missing bucket   here; summary: TestBulkSummary
//	19.12 statuses                      here; rename: TestBulkRename
//	19.13 bucket info                   here, and TestBulkSummary
//	19.14 summary                       TestBulkSummary
//	19.15 empty list of buckets         here
//	19.16 errors of HEAD                TestHeadErrorsTravelInAHeader
//	19.17 encoding of properties        here; core/meta: TestDefaultBpropsJSON
//	19.18 BID                           here; core/meta: TestBucketIDs
//	19.19 read-only bucket              here
//	19.20 copy of a remote source       no backend in this release: 404, here
//	19.21 dry run of a copy             TestBulkCopy
//	19.22 names made by a copy          TestBulkCopy
//	19.23 what Python waits for         TestBulkCopy, TestBulkDelete; python/tests
//	19.24 Python's capitals             here
//	19.25 EC and mirror                 here, TestErasureCoding
//	19.26 503 without a body            TestFactsOfNodes (23.09); ais/node: TestStartingNode
func TestFactsOfBuckets(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2)
	p := c.nodes[0]
	buckets := p.URL() + "/v1/buckets"
	jsonCall := func(t *testing.T, method, path, body string) answer {
		t.Helper()
		return call(t, method, buckets+path, body, "Content-Type", jsonType)
	}

	t.Run("19.15 empty list of buckets", func(t *testing.T) {
		for _, query := range []string{"", "?provider=ais", "?presence=2", "?provider=aws&presence=2", "?provider=ais&namespace=%40%40%23"} {
			if a := jsonCall(t, http.MethodGet, query, `{"action":"list","name":"","value":null}`); a.status != 200 || a.body != "[]\n" {
				t.Errorf("%q: %d %q", query, a.status, a.body)
			}
		}
	})
	createBucket(t, p, "b", "")
	for _, name := range []string{"01", "02", "03", "04", "05", "dir/06"} {
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "b", name), strings.Repeat("x", 1024))
	}

	t.Run("19.01 bodies of GET and DELETE", func(t *testing.T) {
		// Sent in chunks, so that no length announces the body.
		conn := dial(t, p)
		const message = `{"action":"list","value":{"pagesize":2}}`
		request := "GET /v1/buckets/b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + message + "\r\n0\r\n\r\n"
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		if page := decode[listedPage](t, readAnswer(t, conn, request).body); len(page.Entries) != 2 {
			t.Errorf("the body was not read: %+v", page)
		}
		createBucket(t, p, "gone", "")
		if a := jsonCall(t, http.MethodDelete, "/gone", `{"action":"destroy-bck"}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("19.02 list without a value", func(t *testing.T) {
		checkError(t, jsonCall(t, http.MethodGet, "/b", `{"action":"list"}`), 400, `"b"`)
		checkError(t, jsonCall(t, http.MethodGet, "/b", `{"action":"list","name":"c","value":null}`), 400, `"c"`)
		a := jsonCall(t, http.MethodGet, "/b", `{"action":"list","name":"b","value":null}`)
		if a.status != 200 || a.body != `[{"name":"b","provider":"ais","namespace":{"uuid":"","name":""}}]`+"\n" {
			t.Errorf("%d %q", a.status, a.body)
		}
	})
	t.Run("19.03 strictness of values", func(t *testing.T) {
		// What older and newer clients send must not be the reason of a refusal.
		notBuilt(t, jsonCall(t, http.MethodPut, "/b", `{"action":"archive","value":{"TxnUUID":"","tobck":{"name":"b","provider":"ais","namespace":null},"archname":"a.tar","objnames":null,"template":"x{0..1}"}}`))
		for _, a := range []answer{
			jsonCall(t, http.MethodPost, "/b?bck_to=ais%2F%40%23%2Fdst%2F", `{"action":"copy-bck","value":{"ext":null,"pipeline":null,"prefix":"","dry_run":true}}`),
			jsonCall(t, http.MethodDelete, "/b", `{"action":"delete-listrange","value":{"template":"none-","objnames":null}}`),
		} {
			if a.status != 200 || len(a.body) < 9 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		createBucket(t, p, "strict", `{"backend_bck":{"name":"","provider":"","namespace":null}}`)
		if a := jsonCall(t, http.MethodPost, "/strict2", `{"action":"create-bck","name":"","value":null,"unknown":"top-level keys are ignored"}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		checkError(t, jsonCall(t, http.MethodPost, "/strict3", `{"action":"create-bck","value":{"unknown":1}}`), 400, "unknown")
		for _, name := range []string{"strict", "strict2"} {
			must(t, http.StatusOK, http.MethodDelete, buckets+"/"+name, `{"action":"destroy-bck"}`, "Content-Type", jsonType)
		}
	})
	t.Run("19.04 flags and sizes", func(t *testing.T) {
		checkError(t, jsonCall(t, http.MethodGet, "/b", `{"action":"list","value":{"flags":0}}`), 400, "flags")
		const message = `{"action":"list","value":{"flags":"0","prefix":"01","props":"name,size,cached"}}`
		if a := jsonCall(t, http.MethodGet, "/b", message); !strings.Contains(a.body, `"entries":[{"name":"01","size":"1024","flags":64}],"flags":0}`) {
			t.Errorf("JSON: %s", a.body)
		}
		for _, accept := range []string{"application/msgpack", "text/html, application/msgpack;q=0.9"} {
			a := call(t, http.MethodGet, buckets+"/b", message, "Content-Type", jsonType, "Accept", accept)
			if a.header.Get("Content-Type") != "application/msgpack" || !strings.HasSuffix(a.body, "\xa7Entries\x91\x83\xa1n\xa201\xa1s\xd1\x04\x00\xa1f\x40\xa5Flags\x00") ||
				!strings.HasPrefix(a.body, "\x84\xa4UUID\xa9") || !strings.Contains(a.body, "\xb1ContinuationToken\xa0") {
				t.Errorf("msgpack: %v %q", a.header, a.body)
			}
		}
	})
	t.Run("19.05 cloud buckets without a backend", func(t *testing.T) {
		checkError(t, jsonCall(t, http.MethodGet, "/b?provider=aws", `{"action":"list","value":{}}`), 404, "AWS backend is missing")
		checkError(t, jsonCall(t, http.MethodGet, "?provider=gcp", `{"action":"list"}`), 400, "GCP backend is missing")
		checkError(t, jsonCall(t, http.MethodPost, "/b?provider=aws", `{"action":"create-bck"}`), 501, "AWS backend is missing")
		checkError(t, jsonCall(t, http.MethodDelete, "/b?provider=aws", `{"action":"destroy-bck"}`), 405, "cannot destroy cloud bucket s3://b - operation not supported")
	})
	t.Run("19.08 pages backwards", func(t *testing.T) {
		first := listPage(t, p, "b", map[string]any{"pagesize": 1})
		for _, token := range []string{"05", "03", "01", "04", ""} {
			page := listPage(t, c.nodes[1], "b", map[string]any{"pagesize": 1, "uuid": first.UUID, "continuation_token": token})
			want := map[string]string{"05": "dir/06", "03": "04", "01": "02", "04": "05", "": "01"}[token]
			if len(page.Entries) != 1 || page.Entries[0].Name != want || page.Token != want || page.UUID != first.UUID {
				t.Errorf("after %q: %+v", token, page)
			}
		}
		checkError(t, jsonCall(t, http.MethodGet, "/b", `{"action":"list","value":{"uuid":"-x-"}}`), 400, "")
	})
	t.Run("19.10 NAME_ONLY", func(t *testing.T) {
		for _, message := range []map[string]any{{"flags": "16", "props": "name,size,atime"}, {"props": "name"}} {
			a, err := json.Marshal(map[string]any{"action": "list", "value": message})
			if err != nil {
				t.Fatal(err)
			}
			body := jsonCall(t, http.MethodGet, "/b", string(a)).body
			if strings.Contains(body, "size") || strings.Contains(body, "atime") || !strings.Contains(body, `{"name":"01","flags":64}`) {
				t.Errorf("%v: %s", message, body)
			}
		}
		if a := jsonCall(t, http.MethodGet, "/b", `{"action":"list","value":{"props":"location"}}`); strings.Contains(a.body, "size") || strings.Count(a.body, `"location":"t[`) != 6 {
			t.Errorf("only the location: %s", a.body)
		}
		notBuilt(t, jsonCall(t, http.MethodGet, "/b", `{"action":"list","value":{"flags":"8"}}`))
	})
	t.Run("19.11 missing bucket", func(t *testing.T) {
		checkError(t, jsonCall(t, http.MethodGet, "/nob", `{"action":"list","value":{}}`), 404, `bucket "ais://nob" does not exist`)
		checkError(t, jsonCall(t, http.MethodGet, "/nob?namespace=%40%23ns", `{"action":"list","value":{}}`), 404, `bucket "ais://#ns/nob" does not exist`)
	})
	t.Run("19.12 statuses", func(t *testing.T) {
		a := jsonCall(t, http.MethodPost, "/b", `{"action":"create-bck"}`)
		checkError(t, a, 409, `bucket "ais://b" already exists`)
		if !strings.Contains(a.body, `"tcode":"ErrBucketAlreadyExists"`) {
			t.Errorf("%s", a.body)
		}
		checkError(t, jsonCall(t, http.MethodPost, "/b?bck_to=ais%2F%40%23%2Fb%2F", `{"action":"move-bck"}`), 400, "to itself")
		a = jsonCall(t, http.MethodDelete, "/nob", `{"action":"destroy-bck"}`)
		checkError(t, a, 404, `bucket "ais://nob" does not exist`)
		if !strings.Contains(a.body, `"tcode":"ErrBckNotFound"`) {
			t.Errorf("%s", a.body)
		}
		if a := jsonCall(t, http.MethodDelete, "/nob", `{"action":"evict-remote-bck"}`); a.status != 200 || a.body != "" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("19.13 bucket info", func(t *testing.T) {
		must(t, http.StatusAccepted, http.MethodHead, buckets+"/b?bsumm_remote=false", "")
		must(t, http.StatusAccepted, http.MethodHead, buckets+"/b/some/prefix?bsumm_remote=true", "")
		must(t, http.StatusBadRequest, http.MethodHead, buckets+"/b/some/prefix", "")
	})
	t.Run("19.17 encoding of properties", func(t *testing.T) { propertiesOnTheWire(t, c) })
	t.Run("19.18 BID", func(t *testing.T) {
		createBucket(t, p, "again", "")
		first := bprops(t, c, "again")
		if a := jsonCall(t, http.MethodPatch, "/again", `{"action":"set-bprops","value":{"checksum":{"type":"md5"}}}`); a.status != 200 || a.body != "" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := jsonCall(t, http.MethodPatch, "/again", `{"action":"reset-bprops"}`); a.status != 200 || a.body != "" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if reset := bprops(t, c, "again"); reset["bid"] != first["bid"] || reset["checksum"].(map[string]any)["type"] != "xxhash2" {
			t.Errorf("%v after reset, %v before", reset, first)
		}
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "again", "o"), "x")
		must(t, http.StatusOK, http.MethodDelete, buckets+"/again", `{"action":"destroy-bck"}`, "Content-Type", jsonType)
		createBucket(t, c.nodes[1], "again", "")
		if second := bprops(t, c, "again"); second["bid"] == first["bid"] {
			t.Errorf("the bucket has the id of the one before: %v", second["bid"])
		}
		must(t, http.StatusNotFound, http.MethodGet, objectURL(p, "again", "o"), "")
	})
	t.Run("19.19 read-only bucket", func(t *testing.T) {
		createBucket(t, p, "ro", "")
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "ro", "o"), "kept")
		if a := jsonCall(t, http.MethodPatch, "/ro", `{"action":"set-bprops","value":{"access":"1795"}}`); a.status != 200 { // ro and PATCH
			t.Fatalf("%d %s", a.status, a.body)
		}
		a := call(t, http.MethodPut, objectURL(p, "ro", "o"), "new")
		checkError(t, a, 403, "bucket ais://ro: PUT access denied (allowed: [")
		if !strings.Contains(a.body, `"tcode":"ErrBucketAccessDenied"`) {
			t.Errorf("%s", a.body)
		}
		checkError(t, call(t, http.MethodDelete, objectURL(p, "ro", "o"), ""), 403, "access denied")
		checkError(t, jsonCall(t, http.MethodDelete, "/ro", `{"action":"destroy-bck"}`), 403, "access denied")
		if a := must(t, http.StatusOK, http.MethodGet, objectURL(p, "ro", "o"), ""); a.body != "kept" {
			t.Errorf("%q", a.body)
		}
		must(t, http.StatusOK, http.MethodHead, objectURL(p, "ro", "o"), "")
		if names := listAll(t, c.proxies(), "ro", "", 0); !slices.Equal(names, []string{"o"}) {
			t.Errorf("%v", names)
		}
		if a := jsonCall(t, http.MethodPatch, "/ro", `{"action":"set-bprops","value":{"access":"18446744073709551615"}}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		must(t, http.StatusOK, http.MethodPut, objectURL(p, "ro", "o"), "new")
	})
	t.Run("19.20 copy of a remote source", func(t *testing.T) {
		checkError(t, jsonCall(t, http.MethodPost, "/b?provider=aws&bck_to=ais%2F%40%23%2Fdst%2F&presence=0", `{"action":"copy-bck","value":{"prefix":""}}`), 404, "AWS backend")
		must(t, http.StatusNotFound, http.MethodHead, buckets+"/dst", "")
	})
	t.Run("19.24 capitals of Python", func(t *testing.T) {
		if a := jsonCall(t, http.MethodDelete, "/nob?keep_bck_md=False", `{"action":"evict-remote-bck"}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		must(t, http.StatusAccepted, http.MethodHead, buckets+"/b?bsumm_remote=True", "")
	})
	t.Run("19.25 EC and mirror", func(t *testing.T) {
		for _, a := range []answer{
			jsonCall(t, http.MethodPatch, "/b", `{"action":"set-bprops","value":{"ec":{"enabled":true,"data_slices":25,"parity_slices":25}}}`),
			jsonCall(t, http.MethodPost, "/b", `{"action":"ec-encode","value":"{\"data_slices\":25,\"parity_slices\":25}"}`),
		} {
			if a.status != 400 || !strings.Contains(a.body, "EC configuration (D = 25, P = 25) requires at least 51 targets") {
				t.Errorf("25+25 slices: %d %s", a.status, a.body)
			}
		}
		// Slice counts are kept while it is off.
		if a := jsonCall(t, http.MethodPatch, "/b", `{"action":"set-bprops","value":{"ec":{"data_slices":4,"parity_slices":3}}}`); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if ec := bprops(t, c, "b")["ec"].(map[string]any); ec["data_slices"] != 4.0 || ec["parity_slices"] != 3.0 || ec["enabled"] != false {
			t.Errorf("%v", ec)
		}
	})
}

// bprops reads the properties of a bucket through the last gateway.
func bprops(t *testing.T, c *cluster, name string) map[string]any {
	t.Helper()
	proxies := c.proxies()
	a := must(t, http.StatusOK, http.MethodHead, proxies[len(proxies)-1].URL()+"/v1/buckets/"+name, "")
	return decode[map[string]any](t, a.header.Get("Ais-Bucket-Props"))
}

// propertiesOnTheWire checks what strict decoders of clients insist on.
func propertiesOnTheWire(t *testing.T, c *cluster) {
	createBucket(t, c.nodes[0], "props", "")
	a := must(t, http.StatusOK, http.MethodHead, c.nodes[1].URL()+"/v1/buckets/props", "")
	text := a.header.Get("Ais-Bucket-Props")
	for _, want := range []string{
		`"extra":{"aws":{},"gcp":{},"oci":{}}`, `"Renamed":""`, `"access":"18446744073709551615"`, `"features":"0"`, `"bid":"9`, `"created":"1`,
		`"backend_bck":{"name":"","provider":"","namespace":{"uuid":"","name":""}}`, `"write_policy":{"data":"immediate","md":"immediate"}`,
		`"provider":"ais"`, `"durability":"sync"`, `"lru":{"dont_evict_time":"2h0m","capacity_upd_time":"10m","batch_size":32768,"enabled":false}`,
		`"chunks":{"objsize_limit":"0B","max_monolithic_size":"1TiB","chunk_size":"1GiB"}`, `"mirror":{"copies":2,"burst_buffer":512,"enabled":false}`,
		`"checksum":{"type":"xxhash2","validate_cold_get":false,"validate_warm_get":false,"validate_obj_move":false,"enable_read_range":false}`,
		`"versioning":{"enabled":true,"validate_warm_get":false,"synchronize":false}`,
		`"rate_limit":{"backend":{"interval":"1m","max_tokens":1000,"enabled":false,"num_retries":3},"frontend":{"interval":"1m","max_tokens":1000,"enabled":false,"burst_size":375}}`,
		`"ec":{"compression":"never","bundle_multiplier":2,"burst_buffer":512,"objsize_limit":262144,"data_slices":2,"parity_slices":2,"enabled":false,"disk_only":false}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	for _, refused := range []string{
		`{"access":5}`, `{"features":1}`, `{"chunks":{"chunk_size":1024}}`, `{"ec":{"objsize_limit":"1024"}}`, `{"bid":"1"}`, `{"created":"1"}`, `{"Renamed":"x"}`,
		`{"checksum":{"type":""}}`, `{"lru":{"batch_size":1}}`, `{"write_policy":{"data":"delayed"}}`,
	} {
		checkError(t, call(t, http.MethodPatch, c.nodes[0].URL()+"/v1/buckets/props", `{"action":"set-bprops","value":`+refused+`}`), 400, "")
	}
	for _, accepted := range []string{
		`{"chunks":{"chunk_size":"4mb"}}`, `{"lru":{"dont_evict_time":"3h"}}`, `{"versioning":{"enabled":false}}`, `{"extra":{"custom":"anything"}}`, `{"durability":"none"}`,
	} {
		must(t, http.StatusOK, http.MethodPatch, c.nodes[0].URL()+"/v1/buckets/props", `{"action":"set-bprops","value":`+accepted+`}`, "Content-Type", jsonType)
	}
	after := bprops(t, c, "props")
	if after["chunks"].(map[string]any)["chunk_size"] != "4MiB" || after["lru"].(map[string]any)["dont_evict_time"] != "3h0m" ||
		after["extra"].(map[string]any)["custom"] != "anything" || after["durability"] != "none" {
		t.Errorf("%v", after)
	}
	for key := range after["extra"].(map[string]any) {
		if !slices.Contains([]string{"aws", "gcp", "oci", "custom"}, key) {
			t.Errorf("extra has the key %q", key)
		}
	}
}
