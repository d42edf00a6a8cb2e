package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
)

// provisioner is what the storage class names.
const provisioner = "cluster.test/directories"

// volumes makes a volume, which is a directory, for each claim of the class "standard", and removes those whose claims are gone. Its
// arguments are a kubeconfig and the directory that has the volumes' directories.
func volumes() error {
	if len(os.Args) != 3 {
		return errors.New("usage: volumes KUBECONFIG DIRECTORY")
	}
	client, err := connect(os.Args[1])
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := makeClass(ctx, client); err != nil {
		return err
	}
	v := &volumeMaker{client: client, dir: os.Args[2]}
	factory := informers.NewSharedInformerFactory(client, 0)
	return work(ctx, factory, v.settle, factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer())
}

func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	return kubernetes.NewForConfig(config)
}

// work calls do for each object of the informers, again after every change and, later and later, after every error.
func work(ctx context.Context, factory informers.SharedInformerFactory, do func(context.Context, any) error, from ...cache.SharedIndexInformer) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[any](20*time.Millisecond, 5*time.Second))
	for _, informer := range from {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { queue.Add(o) },
			UpdateFunc: func(_, o any) { queue.Add(o) },
			DeleteFunc: func(o any) { queue.Add(o) },
		}); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for {
		o, end := queue.Get()
		if end {
			return nil
		}
		if err := do(ctx, o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			queue.AddRateLimited(o)
		} else {
			queue.Forget(o)
		}
		queue.Done(o)
	}
}

func makeClass(ctx context.Context, client kubernetes.Interface) error {
	isExpandable := true
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storage.StorageClass{
		ObjectMeta:           meta.ObjectMeta{Name: "standard", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner:          provisioner,
		AllowVolumeExpansion: &isExpandable,
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

type volumeMaker struct {
	client kubernetes.Interface
	dir    string
}

// settle makes the volume of a claim that has none, and removes one that no claim has any more.
func (v *volumeMaker) settle(ctx context.Context, object any) error {
	switch o := object.(type) {
	case *core.PersistentVolumeClaim:
		if o.Status.Phase == core.ClaimPending && o.Spec.VolumeName == "" && o.DeletionTimestamp == nil && o.Spec.StorageClassName != nil && *o.Spec.StorageClassName == "standard" {
			return v.make(ctx, o)
		}
	case *core.PersistentVolume:
		if o.Status.Phase == core.VolumeReleased && o.Annotations["pv.kubernetes.io/provisioned-by"] == provisioner {
			return v.remove(ctx, o)
		}
	}
	return nil
}

func (v *volumeMaker) make(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	name := "pvc-" + string(claim.UID)
	path := filepath.Join(v.dir, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o777); err != nil { // whoever the pod runs as; the umask took some
		return err
	}
	_, err := v.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			StorageClassName:              "standard",
			ClaimRef:                      &core.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource:        core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path}},
		},
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (v *volumeMaker) remove(ctx context.Context, volume *core.PersistentVolume) error {
	if err := os.RemoveAll(filepath.Join(v.dir, volume.Name)); err != nil {
		return err
	}
	err := v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
