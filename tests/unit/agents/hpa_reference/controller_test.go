package hpareference

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fakescale "k8s.io/client-go/scale/fake"
	clientgotesting "k8s.io/client-go/testing"
	autoscalingdefaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const (
	scenarios = 48
	syncs     = 250
	target    = 60
)

// Rules are one direction of an autoscaler's behaviour.
type Rules struct {
	Window   int32    `json:"window_s"`
	Policies []Policy `json:"policies"`
}

// Policy is one of its policies: kind "pods" or "percent".
type Policy struct {
	Kind   string `json:"kind"`
	Value  int32  `json:"value"`
	Period int32  `json:"period_s"`
}

// Scenario is one autoscaler's life. Each sync is: replicas, utilisation in percent, replicas after.
type Scenario struct {
	Interval int        `json:"interval_s"`
	Target   int        `json:"target"`
	Low      int32      `json:"low"`
	High     int32      `json:"high"`
	Up       Rules      `json:"up"`
	Down     Rules      `json:"down"`
	Syncs    [][3]int32 `json:"syncs"`
}

// TestController lets the whole controller run, on the bubble's clock, against a fake cluster.
func TestController(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 2))
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{
		func(_ context.Context, err error, message string, _ ...any) { t.Error(message, err) },
	}
	table := make([]Scenario, 0, scenarios)
	for i := range scenarios {
		scenario := randomScenario(random, i)
		synctest.Test(t, func(t *testing.T) {
			live(t, &scenario, random)
		})
		table = append(table, scenario)
	}
	write(t, "controller.json.gz", table)
}

func randomScenario(random *rand.Rand, i int) Scenario {
	scenario := Scenario{Interval: pick(random, 5, 15, 15, 60), Target: target, Low: 2, High: 10}
	behavior := &autoscalingv2.HorizontalPodAutoscalerBehavior{
		ScaleUp:   autoscalingdefaults.GenerateHPAScaleUpRules(nil),
		ScaleDown: autoscalingdefaults.GenerateHPAScaleDownRules(nil),
	}
	scenario.Up, scenario.Down = rules(behavior.ScaleUp), rules(behavior.ScaleDown)
	scenario.Down.Window = 300 // the default of the controller's flag, for a window left out
	if i%3 > 0 {
		scenario.Low, scenario.High = pick(random, int32(1), 2, 5), pick(random, int32(20), 50)
		scenario.Up = Rules{pick(random, int32(0), 30, 60), randomPolicies(random)}
		scenario.Down = Rules{pick(random, int32(0), 60, 300), randomPolicies(random)}
	}
	return scenario
}

func randomPolicies(random *rand.Rand) []Policy {
	policies := []Policy{}
	for range 1 + random.IntN(2) {
		policies = append(policies, Policy{
			Kind:   pick(random, "pods", "percent"),
			Value:  pick(random, int32(1), 2, 4, 10, 33, 50, 100),
			Period: pick(random, int32(15), 30, 60, 90),
		})
	}
	return policies
}

func rules(from *autoscalingv2.HPAScalingRules) Rules {
	made := Rules{}
	if from.StabilizationWindowSeconds != nil {
		made.Window = *from.StabilizationWindowSeconds
	}
	for _, policy := range from.Policies {
		kind := map[autoscalingv2.HPAScalingPolicyType]string{"Pods": "pods", "Percent": "percent"}[policy.Type]
		made.Policies = append(made.Policies, Policy{kind, policy.Value, policy.PeriodSeconds})
	}
	return made
}

func (r Rules) kubernetes() *autoscalingv2.HPAScalingRules {
	most := autoscalingv2.MaxChangePolicySelect
	made := &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &r.Window, SelectPolicy: &most}
	for _, policy := range r.Policies {
		kind := map[string]autoscalingv2.HPAScalingPolicyType{"pods": "Pods", "percent": "Percent"}[policy.Kind]
		made.Policies = append(made.Policies, autoscalingv2.HPAScalingPolicy{Type: kind, Value: policy.Value, PeriodSeconds: policy.Period})
	}
	return made
}

// live runs a scenario: before each sync the pods are made to match the replicas, and given a load.
func live(t *testing.T, scenario *Scenario, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	interval := time.Duration(scenario.Interval) * time.Second
	replicas := scenario.Low
	scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "default"}}
	scale.Spec.Replicas, scale.Status.Selector = replicas, "app=app"
	measured := &fakeMetrics{}
	client := fake.NewClientset(autoscaler(scenario))
	// A period of 0 would wait on a channel from outside the bubble, which stops its clock.
	factory := informers.NewSharedInformerFactory(client, 1000*time.Hour)
	controller := podautoscaler.NewHorizontalController(
		ctx, client.CoreV1(), scales(scale), client.AutoscalingV2(), mapper(), measured,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(),
		interval, 5*time.Minute, 0.1, 5*time.Minute, 30*time.Second,
	)
	pods := factory.Core().V1().Pods().Informer().GetIndexer()
	factory.Start(ctx.Done())
	go controller.Run(ctx, 1)
	time.Sleep(interval / 2) // from here on always midway between two syncs

	load := float64(scenario.Low * target)
	for range syncs {
		load = nextLoad(random, load, scenario.High)
		if random.IntN(40) == 0 { // a hand on the scale
			scale.Spec.Replicas = scenario.Low + int32(random.IntN(int(scenario.High-scenario.Low)))
		}
		before := scale.Spec.Replicas
		utilisation := int32(min(load/float64(before), 300))
		crowd := podsOf(before)
		if err := pods.Replace(crowd, ""); err != nil {
			t.Fatal(err)
		}
		measured.pods = usage(before, utilisation)
		time.Sleep(interval)
		scenario.Syncs = append(scenario.Syncs, [3]int32{before, utilisation, scale.Spec.Replicas})
	}
	cancel()
	factory.Shutdown()
}

func nextLoad(random *rand.Rand, load float64, high int32) float64 {
	switch random.IntN(12) {
	case 0: // a jump
		return random.Float64() * float64(high) * target
	case 1, 2:
		return load * (0.7 + 0.6*random.Float64())
	}
	return load * (0.95 + 0.1*random.Float64())
}

func podsOf(replicas int32) []any {
	crowd := []any{}
	long := func(int) time.Time { return time.Now().Add(-time.Hour) }
	for i := range int(replicas) {
		pod := kubernetesPod(i, Pod{Ready: true, Request: 1000}, long)
		pod.Labels = map[string]string{"app": "app"}
		crowd = append(crowd, pod)
	}
	return crowd
}

func usage(replicas, utilisation int32) metrics.PodMetricsInfo {
	info := metrics.PodMetricsInfo{}
	for i := range int(replicas) {
		info[fmt.Sprintf("pod-%d", i)] = metrics.PodMetric{Timestamp: time.Now(), Window: 15 * time.Second, Value: int64(utilisation) * 10}
	}
	return info
}

func autoscaler(scenario *Scenario) *autoscalingv2.HorizontalPodAutoscaler {
	aim := int32(scenario.Target)
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "default"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
			MinReplicas:    &scenario.Low,
			MaxReplicas:    scenario.High,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ResourceMetricSourceType,
				Resource: &autoscalingv2.ResourceMetricSource{
					Name:   v1.ResourceCPU,
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &aim},
				},
			}},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleUp: scenario.Up.kubernetes(), ScaleDown: scenario.Down.kubernetes(),
			},
		},
	}
}

// scales serves one scale subresource.
func scales(scale *autoscalingv1.Scale) *fakescale.FakeScaleClient {
	client := &fakescale.FakeScaleClient{}
	client.AddReactor("get", "*", func(clientgotesting.Action) (bool, runtime.Object, error) {
		return true, scale.DeepCopy(), nil
	})
	client.AddReactor("update", "*", func(action clientgotesting.Action) (bool, runtime.Object, error) {
		scale.Spec.Replicas = action.(clientgotesting.UpdateAction).GetObject().(*autoscalingv1.Scale).Spec.Replicas
		return true, scale.DeepCopy(), nil
	})
	return client
}

func mapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{appsv1.SchemeGroupVersion})
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	return mapper
}
