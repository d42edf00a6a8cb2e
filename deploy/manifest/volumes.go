package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// volumes makes the claims of the named volumes that services use.
func (b *build) volumes() {
	pods := map[string]int{} // that have a volume, where they are known: at most
	onEach := map[string]string{}
	use := func(path, name string, s *spec.Service) {
		var seen []string
		for _, m := range Mounts(b.project, s) {
			if m.Type != spec.MountVolume || m.Source == "" || slices.Contains(seen, m.Source) {
				continue
			}
			seen = append(seen, m.Source)
			pods[m.Source] += s.Replicas()
			if own := b.settings[path]; own.Kind == kindDaemonSet || own.Kind == "" && s.IsGlobal() {
				onEach[m.Source] = name
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.project.Services)) {
		use("services."+name, name, b.project.Services[name])
	}
	for _, name := range b.project.Scheduled() {
		use("jobs."+name, name, b.project.Jobs[name])
	}
	for _, key := range slices.Sorted(maps.Keys(b.project.Volumes)) {
		v, at := b.project.Volumes[key], "volumes."+key
		if v.External {
			b.externalName(v.Name, at)
			continue
		}
		name, storage := b.fullName(v.Name, at), b.settings[at].Storage
		if v.Driver != "" && v.Driver != "local" || len(v.DriverOpts) > 0 {
			b.refuse(at+".driver", "drivers and their options are of one machine", "write a class of the cluster: x-orlop: {storage: {class: ...}}, or external: true and the name of a claim")
		}
		const hint = "write x-orlop: {storage: {access: ReadWriteMany}} where the class can do that"
		switch {
		case storage.Access != accessOnce:
		case onEach[key] != "":
			b.warn(at, fmt.Sprintf("%s has a pod on each node, and with %s those of one node alone can have it", onEach[key], accessOnce), hint)
		case pods[key] > 1:
			b.warn(at, fmt.Sprintf("%d pods have it, and with %s all of them run on one node", pods[key], accessOnce), hint)
		}
		claim := map[string]any{
			"accessModes": []any{storage.Access},
			"resources":   map[string]any{"requests": map[string]any{"storage": storage.Size}},
		}
		if storage.Class != "" {
			claim["storageClassName"] = storage.Class
		}
		o := b.object(VolumeClaim, name, "", map[string]any{"spec": claim})
		b.describe(o, at+".labels", v.Labels)
		b.set.Resources = append(b.set.Resources, &Resource{Kind: OfVolume, Key: key, Objects: []*Object{o}})
	}
}

// MaxFile is how many bytes a file may have that a service mounts and that becomes a ConfigMap, which
// itself may have 1 MiB.
const MaxFile = 512 << 10

// MaxContent is how many bytes a ConfigMap or Secret may have.
const MaxContent = 1 << 20

const modeOfFile = 0o444

// File is a file or directory of the caller's machine.
type File struct {
	Mode    fs.FileMode
	Content []byte // of a regular file that has no more than MaxFile; nil: it has
}

// mounts adds what a service mounts to its pod.
func (w *workload) mounts() {
	for i, m := range w.service.Volumes {
		w.mount(fmt.Sprintf("%s.volumes[%d]", w.path, i), m)
	}
	w.complainOfUnnamed(w.path, w.service.Sources(), w.service)
	for _, m := range w.service.Inherited {
		w.mount(w.path+".volumes_from", m)
	}
	for i, entry := range w.service.Tmpfs {
		w.tmpfs(fmt.Sprintf("%s.tmpfs[%d]", w.path, i), entry)
	}
	w.shm(w.service.ShmSize)
	w.fileMounts("configs", w.service.Configs)
	w.fileMounts("secrets", w.service.Secrets)
}

// tmpfs mounts what an entry of tmpfs says: "/run:size=1m,mode=1770".
func (w *workload) tmpfs(at, entry string) {
	target, options, _ := strings.Cut(entry, ":")
	var size spec.Bytes
	var rest []string
	readOnly := false
	for _, o := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(o, "=")
		n, isBytes := spec.ParseBytes(value)
		switch {
		case name == "size" && isBytes:
			size = spec.Bytes(n)
		case name == "ro":
			readOnly = true
		case slices.Contains([]string{"", "rw", "exec", "suid", "nosuid", "dev", "nodev", "relatime", "noatime", "mode=1777", "mode=777", "mode=0777"}, o):
		default:
			rest = append(rest, o)
		}
	}
	w.memoryDir(at, target, size, readOnly, rest)
}

// complainOfUnnamed refuses to share volumes without a name, which each pod has for itself.
func (w *workload) complainOfUnnamed(at string, sources []spec.VolumesFrom, s *spec.Service) {
	for _, from := range sources {
		other := w.project.Services[from.Service]
		if other == nil {
			continue
		}
		for _, m := range other.Volumes {
			if isOwn := func(own spec.Mount) bool { return path.Clean(own.Target) == path.Clean(m.Target) }; m.Type == spec.MountVolume && m.Source == "" && !slices.ContainsFunc(s.Volumes, isOwn) {
				w.refuse(at+".volumes_from", fmt.Sprintf("the volume at %s of %s has no name, and each pod has one of its own", m.Target, from.Service), "give it a name, with which it is a claim that both mount")
			}
		}
	}
}

// memoryDir mounts a directory in memory, which everybody may write to there; what else is said of it is told.
func (w *workload) memoryDir(at, target string, size spec.Bytes, readOnly bool, leftOut []string) {
	if !w.isFree(at, target) {
		return
	}
	dir := map[string]any{"medium": "Memory"}
	if size > 0 {
		dir["sizeLimit"] = memory(size)
	}
	if len(leftOut) > 0 {
		w.warn(at, fmt.Sprintf("%s of a directory in memory can't be said on Kubernetes, where everybody may write to it: left out", strings.Join(leftOut, ",")), "")
	}
	w.add("tmpfs", map[string]any{"emptyDir": dir}, target, readOnly, "")
}

// isFree says that nothing is mounted at a path yet; what is mounted twice is refused.
func (w *workload) isFree(at, target string) bool {
	if isMounted(w.containerMounts, target) {
		w.refuse(at, target+" is already mounted", "two mounts cannot share a target")
		return false
	}
	return true
}

// shm mounts shared memory of a size; 0 is what the runtime gives.
func (w *workload) shm(size spec.Bytes) {
	if size > 0 && !isMounted(w.containerMounts, "/dev/shm") {
		w.add("shm", map[string]any{"emptyDir": map[string]any{"medium": "Memory", "sizeLimit": memory(size)}}, "/dev/shm", false, "")
	}
}

// add adds a volume to the pod, and its mount to the container.
func (w *workload) add(base string, source map[string]any, target string, readOnly bool, subPath string) {
	w.addMount(w.volume(base, source), target, readOnly, subPath)
}

// volume adds a volume to the pod, if it has none of that source, and gives its name.
func (w *workload) volume(base string, source map[string]any) string {
	key := hash(source)
	if _, dir := source["emptyDir"]; !dir { // each of those is one of its own
		if name := w.sources[key]; name != "" {
			return name
		}
	}
	name := DNSName(base)
	for n := 2; w.taken[name]; n++ {
		name = DNSName(fmt.Sprintf("%s-%d", base, n))
	}
	w.taken[name], w.sources[key] = true, name
	volume := map[string]any{"name": name}
	maps.Copy(volume, source)
	w.podVolumes = append(w.podVolumes, volume)
	return name
}

func (w *workload) addMount(name, target string, readOnly bool, subPath string) {
	m := map[string]any{"name": name, "mountPath": target}
	if readOnly {
		m["readOnly"] = true
	}
	if subPath != "" {
		m["subPath"] = subPath
	}
	w.containerMounts = append(w.containerMounts, m)
}

func (w *workload) mount(at string, m spec.Mount) {
	if m.Type != spec.MountTmpfs && !w.isFree(at, m.Target) {
		return
	}
	switch m.Type {
	case spec.MountTmpfs:
		said := spec.TmpfsOpts{}
		if m.Tmpfs != nil {
			said = *m.Tmpfs
		}
		var mode []string
		if said.Mode != 0 && said.Mode&0o777 != 0o777 {
			mode = []string{fmt.Sprintf("mode=%o", said.Mode)}
		}
		w.memoryDir(at, m.Target, said.Size, m.ReadOnly, mode)
	case spec.MountImage:
		w.add("image", map[string]any{"image": map[string]any{"reference": w.image(Mounted(w.path, m.Source), m.Source), "pullPolicy": "IfNotPresent"}}, m.Target, true, subpath(m))
	case spec.MountVolume:
		if m.Source == "" {
			w.add("anonymous", map[string]any{"emptyDir": map[string]any{}}, m.Target, m.ReadOnly, "")
			return
		}
		v := w.project.Volumes[m.Source]
		if v == nil {
			w.refuse(at, fmt.Sprintf("no volume %q", m.Source), "")
			return
		}
		w.hasVolume = true
		sub := ""
		if m.Volume != nil {
			sub = m.Volume.Subpath
		}
		claim := DNSName(v.Name)
		if v.External {
			claim = w.externalName(v.Name, "volumes."+m.Source)
		}
		w.add(m.Source, map[string]any{"persistentVolumeClaim": map[string]any{"claimName": claim}}, m.Target, m.ReadOnly, sub)
	case spec.MountBind:
		w.bind(at, m)
	default:
		w.refuse(at, fmt.Sprintf("mounts of type %q are not supported on Kubernetes", m.Type), "")
	}
}

// Mounted is what Options.Images knows an image by that a service or job mounts; of no image, what all of those begin with.
func Mounted(path, image string) string { return path + ".mounted[" + image }

func subpath(m spec.Mount) string {
	if m.Image == nil {
		return ""
	}
	return m.Image.Subpath
}

// bind makes a ConfigMap of a small file; nothing else of this machine is there on a node.
func (w *workload) bind(at string, m spec.Mount) {
	const away = "an override file can take the mount away: volumes: !reset []"
	hint := "COPY it in the Dockerfile, or use a named volume; " + away
	if w.service.Build != nil {
		hint = "COPY it in the Dockerfile, and \"orlop deploy watch\" syncs it by develop.watch; " + away
	}
	if strings.HasSuffix(m.Source, ".sock") {
		w.refuse(at, fmt.Sprintf("%s is a socket of this machine, and on no node", m.Source), away)
		return
	}
	file, err := w.opts.File(m.Source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.refuse(at, fmt.Sprintf("there is no %s", m.Source), fmt.Sprintf("a file of up to %d KB becomes a ConfigMap, all else is on no node; %s", MaxFile>>10, away))
		return
	case err != nil:
		w.refuse(at, fmt.Sprintf("%s can't be read (%v), and is on no node", m.Source, err), hint)
		return
	case file.Mode.IsDir():
		w.refuse(at, fmt.Sprintf("%s is a directory of this machine, and on no node", m.Source), hint)
		return
	case !file.Mode.IsRegular():
		w.refuse(at, fmt.Sprintf("%s is no regular file, and on no node", m.Source), hint)
		return
	case file.Content == nil:
		w.refuse(at, fmt.Sprintf("%s is larger than %d KB, and a ConfigMap is for small files", m.Source, MaxFile>>10), hint)
		return
	}
	if !m.ReadOnly {
		w.warn(at, "the file is a ConfigMap there, and read-only", "write :ro, or use a named volume for what the service writes")
	}
	mode := int64(modeOfFile)
	if file.Mode.Perm()&0o111 != 0 {
		mode |= 0o111
	}
	base := path.Base(m.Source)
	object := w.configMap(base, file.Content)
	if !slices.ContainsFunc(w.files, func(o *Object) bool { return o.Name == object.Name }) {
		w.files = append(w.files, object)
	}
	w.add(base, map[string]any{"configMap": map[string]any{"name": object.Name, "items": []any{map[string]any{"key": fileKey(base), "path": fileKey(base), "mode": mode}}}}, m.Target, true, fileKey(base))
}

// fileKey is a file's name as a key in a ConfigMap.
func fileKey(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, name)
}

// configMap is a file as a ConfigMap whose name is another for each content.
func (b *build) configMap(name string, content []byte) *Object {
	data := fileData(fileKey(name), content)
	data["immutable"] = true
	return b.object(ConfigMap, contentName(b.project.Name+"-"+name, data), "", data)
}

// fileData is text as it is, and other content as Kubernetes has it.
func fileData(key string, content []byte) map[string]any {
	if isText(content) {
		return map[string]any{"data": map[string]any{key: string(content)}}
	}
	return map[string]any{"binaryData": map[string]any{key: base64Of(content)}}
}

// fileMounts mounts the configs or secrets that a service names, each as one file.
func (w *workload) fileMounts(kind string, uses []spec.FileMount) {
	for i, use := range uses {
		w.fileMount(fmt.Sprintf("%s.%s[%d]", w.path, kind, i), kind, use)
	}
}

func (w *workload) fileMount(at, kind string, use spec.FileMount) {
	object, key := w.file(kind, use.Source, at)
	if object == "" {
		return
	}
	target := use.Target
	switch {
	case target == "" && kind == "secrets":
		target = "/run/secrets/" + use.Source
	case target == "":
		target = "/" + use.Source
	case !strings.HasPrefix(target, "/") && kind == "secrets":
		target = "/run/secrets/" + target
	case !strings.HasPrefix(target, "/"):
		target = "/" + target
	}
	if !w.isFree(at, target) {
		return
	}
	mode := int64(modeOfFile)
	if use.Mode != nil {
		mode = int64(*use.Mode)
	}
	if use.UID != "" && use.UID != "0" || use.GID != "" && use.GID != "0" {
		w.warn(at, "a file's owner can't be set on Kubernetes: it is root's", "mode: 0444 lets all read it")
	}
	items := []any{map[string]any{"key": key, "path": key, "mode": mode}}
	source := map[string]any{"configMap": map[string]any{"name": object, "items": items}}
	if kind == "secrets" {
		source = map[string]any{"secret": map[string]any{"secretName": object, "items": items}}
	}
	w.add(strings.TrimSuffix(kind, "s")+"-"+use.Source, source, target, true, key)
}

// file is the object that has a config or secret, and the key in it; it is made for
// the first that asks.
func (w *workload) file(kind, source, at string) (object, key string) {
	path := kind + "." + source
	var name string
	var external, isTemplate bool
	if c := w.project.Configs[source]; kind == "configs" && c != nil {
		name, external, isTemplate = c.Name, c.External, c.TemplateDriver != ""
	}
	if s := w.project.Secrets[source]; kind == "secrets" && s != nil {
		name, external, isTemplate = s.Name, s.External, s.TemplateDriver != ""
	}
	if external {
		return w.externalName(name, path), fileKey(name)
	}
	key = fileKey(source)
	if have := w.build.files[path]; have != "" {
		return have, key
	}
	payload, known := w.project.Payloads[path]
	if !known {
		w.refuse(at, fmt.Sprintf("%s has no content", path), "")
		return "", ""
	}
	if isTemplate && bytes.Contains(payload.Content, []byte("{{")) {
		w.refuse(path+".template_driver", "a template is filled in for each container, which Kubernetes does not do", "write what it says, or have the container fill it in when it starts")
	}
	if len(payload.Content) > MaxContent {
		w.refuse(path, fmt.Sprintf("it has %d KB, and a ConfigMap or Secret may have 1 MB", len(payload.Content)>>10), "COPY it in the Dockerfile, or have the container fetch it when it starts")
		return "", ""
	}
	var o *Object
	kindOf := OfConfig
	if kind == "secrets" {
		kindOf = OfSecret
		data := map[string]any{"type": "Opaque", "immutable": true, "data": map[string]any{key: base64Of(payload.Content)}}
		o = w.object(Secret, contentName(w.project.Name+"-"+source, data), "", data)
	} else {
		data := fileData(key, payload.Content)
		data["immutable"] = true
		o = w.object(ConfigMap, contentName(w.project.Name+"-"+source, data), "", data)
	}
	w.build.files[path] = o.Name
	w.set.Resources = append(w.set.Resources, &Resource{Kind: kindOf, Key: source, Objects: []*Object{o}})
	return o.Name, key
}

// fsGroup is the group that may write to volumes: that of the user, as the image's directory
// would have it on one machine.
func (w *workload) fsGroup() (int64, bool) {
	user, group, _ := strings.Cut(w.service.User, ":")
	n, err := strconv.ParseInt(group, 10, 64)
	if err != nil {
		n, err = strconv.ParseInt(user, 10, 64)
	}
	return n, err == nil && n > 0 && w.hasVolume
}
