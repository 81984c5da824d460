package hrw

import "testing"

// The vectors are what clients of the REST API compute.
func TestVectors(t *testing.T) {
	t.Parallel()
	for s, want := range map[uint64]uint64{0: 1905207664160064169, 4573842: 5026071747115404967} {
		if got := Mix(s); got != want {
			t.Errorf("Mix(%d) = %d, want %d", s, got, want)
		}
	}
	if got := Digest("abc"); got != 12150592357978087308 {
		t.Errorf("Digest(abc) = %d", got)
	}
	nodes := []string{"tgtAAAAA1", "tgtBBBBB2", "tgtCCCCC3"}
	for i, want := range []uint64{1550146135032090481, 2531647804710883909, 2900503511124608628} {
		if got := Digest(nodes[i]); got != want {
			t.Errorf("Digest(%s) = %d, want %d", nodes[i], got, want)
		}
	}
	for _, tc := range []struct {
		uname   string
		digest  uint64
		weights [3]uint64
	}{
		{"ais/@#/b1/obj-0", 74220226931245652, [3]uint64{927391738919173390, 8464413073419742047, 4438790484687991528}},
		{"ais/@#/b1/dir/a b.txt", 15838382661440026492, [3]uint64{666728282467042584, 7982095420780205613, 17989674749705672609}},
		{"aws/@#/data/train-000.tar", 7594398938191772870, [3]uint64{11009059187680547098, 16962558930209490120, 10776061838142216212}},
		{"ais/@#ns1/b1/привет", 17763796204806148732, [3]uint64{9182357108968666158, 17499133442982068763, 12296849446869116711}},
		{"ais/@Q9wP67Uiqt#/rb/o1", 3061771308240791564, [3]uint64{16844763777936730016, 11584747199314938910, 14049299235646002320}},
	} {
		digest := Digest(tc.uname)
		if digest != tc.digest || DigestBytes([]byte(tc.uname)) != digest {
			t.Errorf("Digest(%s) = %d, want %d", tc.uname, digest, tc.digest)
		}
		for i, node := range nodes {
			if got := Weight(Digest(node), digest); got != tc.weights[i] {
				t.Errorf("weight of %s for %s = %d, want %d", node, tc.uname, got, tc.weights[i])
			}
		}
	}
}

func BenchmarkDigestAndWeight(b *testing.B) {
	name := []byte("ais/@#/bucket/images/train/n01440764/n01440764_10026.JPEG")
	node := Digest("tgtAAAAA1")
	b.ReportAllocs()
	var sink uint64
	for b.Loop() {
		sink += Weight(node, DigestBytes(name))
	}
	_ = sink
}
