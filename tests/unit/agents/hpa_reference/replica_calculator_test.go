// Package hpareference asks Kubernetes itself what its horizontal pod autoscaler does.
//
// The tests write tables of cases and answers; see README.md. They run in testing/synctest's bubble,
// whose clock stands still, so that borders in time are exact and the tables always the same.
package hpareference

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const cases = 12000

// Pod is one pod of a case; all times are ages in seconds.
type Pod struct {
	Phase      string // running, pending, failed, terminating
	Ready      bool
	StartedAgo int
	ChangedAgo int   // since the Ready condition changed
	Usage      int64 // milli-units; -1: no metric
	SampledAgo int
	Window     int
	Request    int64 // milli-units
}

// MarshalJSON writes a pod as a list, to keep the table small.
func (p Pod) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{
		p.Phase, p.Ready, p.StartedAgo, p.ChangedAgo, p.Usage, p.SampledAgo, p.Window, p.Request,
	})
}

// Case is one question to the replica calculator, and its answer.
type Case struct {
	Current        int32   `json:"current"`
	Target         int32   `json:"target"` // percent
	Tolerance      float64 `json:"tolerance"`
	Initialisation int     `json:"initialisation_s"`
	ReadinessDelay int     `json:"readiness_delay_s"`
	Pods           []Pod   `json:"pods"`
	Replicas       *int32  `json:"replicas"` // null: an error, so nothing is scaled
}

// fakeMetrics answers with what it is given. Only resource metrics are ever asked for.
type fakeMetrics struct {
	metrics.MetricsClient
	pods metrics.PodMetricsInfo
}

func (f *fakeMetrics) GetResourceMetric(context.Context, v1.ResourceName, string, labels.Selector, string) (metrics.PodMetricsInfo, time.Time, error) {
	given := metrics.PodMetricsInfo{}
	for name, metric := range f.pods { // the calculator changes the map
		given[name] = metric
	}
	return given, time.Now(), nil
}

func TestReplicaCalculator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // so that ages of an hour lie after the bubble's year 2000
		random := rand.New(rand.NewPCG(3, 1))
		table := make([]Case, 0, cases)
		for range cases {
			table = append(table, answered(t, randomCase(random)))
		}
		write(t, "replica_calculator.json.gz", table)
	})
}

func answered(t *testing.T, c Case) Case {
	now := time.Now()
	ago := func(seconds int) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }
	client := &fakeMetrics{pods: metrics.PodMetricsInfo{}}
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for i, p := range c.Pods {
		pod := kubernetesPod(i, p, ago)
		if err := indexer.Add(pod); err != nil {
			t.Fatal(err)
		}
		if p.Usage >= 0 {
			client.pods[pod.Name] = metrics.PodMetric{
				Timestamp: ago(p.SampledAgo),
				Window:    time.Duration(p.Window) * time.Second,
				Value:     p.Usage,
			}
		}
	}
	calculator := podautoscaler.NewReplicaCalculator(
		client,
		corelisters.NewPodLister(indexer),
		time.Duration(c.Initialisation)*time.Second,
		time.Duration(c.ReadinessDelay)*time.Second,
	)
	replicas, _, _, _, err := calculator.GetResourceReplicas(
		context.Background(), c.Current, c.Target, v1.ResourceCPU, tolerances(c.Tolerance), "default", labels.Everything(), "",
	)
	if err == nil {
		c.Replicas = &replicas
	}
	return c
}

func kubernetesPod(i int, p Pod, ago func(int) time.Time) *v1.Pod {
	status := map[bool]v1.ConditionStatus{true: v1.ConditionTrue, false: v1.ConditionFalse}
	started := metav1.NewTime(ago(p.StartedAgo))
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", i), Namespace: "default"},
		Status: v1.PodStatus{
			Phase:     v1.PodRunning,
			StartTime: &started,
			Conditions: []v1.PodCondition{{
				Type:               v1.PodReady,
				Status:             status[p.Ready],
				LastTransitionTime: metav1.NewTime(ago(p.ChangedAgo)),
			}},
		},
		Spec: v1.PodSpec{Containers: []v1.Container{{
			Name: "app",
			Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
				v1.ResourceCPU: *resource.NewMilliQuantity(p.Request, resource.DecimalSI),
			}},
		}}},
	}
	switch p.Phase {
	case "pending":
		pod.Status.Phase = v1.PodPending
	case "failed":
		pod.Status.Phase = v1.PodFailed
	case "terminating":
		deleted := metav1.NewTime(ago(1))
		pod.DeletionTimestamp = &deleted
	}
	return pod
}

// tolerances makes what the controller makes of its flag: the fields are not exported.
func tolerances(value float64) podautoscaler.Tolerances {
	made := podautoscaler.Tolerances{}
	fields := reflect.ValueOf(&made).Elem()
	for i := range fields.NumField() {
		*(*float64)(unsafe.Pointer(fields.Field(i).UnsafeAddr())) = value
	}
	return made
}

func randomCase(random *rand.Rand) Case {
	c := Case{
		Target:         pick(random, int32(60), 60, 50, 80, 100, 130, 37),
		Tolerance:      pick(random, 0.1, 0.1, 0.1, 0.05, 0, 0.2),
		Initialisation: 300,
		ReadinessDelay: 30,
	}
	if random.IntN(8) == 0 {
		c.Initialisation, c.ReadinessDelay = pick(random, 0, 60, 120), pick(random, 0, 10, 60)
	}
	healthy := random.IntN(5) == 0
	request := pick(random, int64(1000), 1000, 250, 333)
	// Loads around the target, at the borders of the tolerance, and anywhere.
	load := pick(random, 0.9, 1.0, 1.1, 0.9+0.2*random.Float64(), 3*random.Float64(), 2*random.Float64())
	exact := random.IntN(3) == 0
	for range 1 + random.IntN(8) {
		p := randomPod(random, c, healthy)
		p.Request = request
		if random.IntN(12) == 0 {
			p.Request = pick(random, int64(100), 500, 1000)
		}
		if p.Usage >= 0 {
			share := load
			if !exact {
				share = load * (0.5 + random.Float64())
			}
			p.Usage = int64(share * float64(c.Target) * float64(p.Request) / 100)
		}
		c.Pods = append(c.Pods, p)
	}
	c.Current = int32(max(1, len(c.Pods)+pick(random, 0, 0, 0, 0, 1, -1, 3, -3)))
	return c
}

func randomPod(random *rand.Rand, c Case, healthy bool) Pod {
	p := Pod{Phase: "running", Ready: true, StartedAgo: 1000, ChangedAgo: 990, Window: 30}
	if healthy || random.IntN(3) == 0 {
		return p
	}
	switch random.IntN(12) {
	case 0:
		p.Phase = "pending"
	case 1:
		p.Phase = pick(random, "failed", "terminating")
	}
	p.Ready = random.IntN(3) > 0
	borders := []int{0, c.ReadinessDelay, c.Initialisation}
	p.StartedAgo = max(0, pick(random, append(borders, 15, 200, 1000)...)+random.IntN(3)-1)
	switch random.IntN(4) { // changed with the start, a while after it, at the readiness delay, just now
	case 0:
		p.ChangedAgo = p.StartedAgo
	case 1:
		p.ChangedAgo = max(0, p.StartedAgo-random.IntN(60))
	case 2:
		p.ChangedAgo = max(0, p.StartedAgo-c.ReadinessDelay+random.IntN(3)-1)
	case 3:
		p.ChangedAgo = random.IntN(1 + min(p.StartedAgo, 90))
	}
	p.SampledAgo = pick(random, 0, 0, 10, 20)
	p.Window = pick(random, 15, 30, 60)
	if random.IntN(3) == 0 { // sampled just about one window after the change
		p.SampledAgo = min(60, max(0, p.ChangedAgo-p.Window+random.IntN(3)-1))
	}
	if random.IntN(6) == 0 {
		p.Usage = -1
	}
	return p
}

func pick[T any](random *rand.Rand, from ...T) T {
	return from[random.IntN(len(from))]
}

// write writes a table of one case a line into the folder HPA_TABLES.
func write[T any](t *testing.T, name string, table []T) {
	folder := os.Getenv("HPA_TABLES")
	if folder == "" {
		t.Fatal("HPA_TABLES must name the folder that the tables go to")
	}
	file, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	encoder := json.NewEncoder(compressed)
	for _, entry := range table {
		if err := encoder.Encode(entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
