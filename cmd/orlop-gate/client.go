package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// account is where a pod has what it shows the API server.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// client asks the API server of the cluster that we run in.
type client struct {
	http      *http.Client
	base      string
	namespace string
	token     func() (string, error) // it is renewed from time to time
}

func inCluster() (*client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod of a cluster")
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(account + "/ca.crt")
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		return nil, errors.Join(errors.New("the cluster's certificate can't be read"), err)
	}
	namespace, err := os.ReadFile(account + "/namespace")
	if err != nil {
		return nil, fmt.Errorf("the pod's namespace can't be read: %w", err)
	}
	return &client{
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}},
		base: "https://" + net.JoinHostPort(host, port), namespace: strings.TrimSpace(string(namespace)),
		token: func() (string, error) {
			token, err := os.ReadFile(account + "/token")
			return strings.TrimSpace(string(token)), err
		},
	}, nil
}

// object is what the gate needs of a pod or job.
type object struct {
	Metadata struct {
		Name              string `json:"name"`
		ResourceVersion   string `json:"resourceVersion"`
		CreationTimestamp string `json:"creationTimestamp"`
		DeletionTimestamp string `json:"deletionTimestamp"`
	} `json:"metadata"`
	Status struct {
		Phase      string `json:"phase"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
	Message string `json:"message"` // of an error in a watch
}

func (o object) has(condition string) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// follow lists objects and watches them until look is satisfied. It ends with an error when the watch does.
func (c *client) follow(ctx context.Context, path, selector string, look func(map[string]object) (bool, error)) error {
	path = fmt.Sprintf(path, "namespaces/"+c.namespace)
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []object `json:"items"`
	}
	body, err := c.get(ctx, path, url.Values{"labelSelector": {selector}})
	if err != nil {
		return err
	}
	err = json.NewDecoder(body).Decode(&list)
	body.Close()
	if err != nil {
		return fmt.Errorf("the API server's answer can't be read: %w", err)
	}
	all := map[string]object{}
	for _, o := range list.Items {
		all[o.Metadata.Name] = o
	}
	if ok, err := look(all); ok || err != nil {
		return err
	}
	body, err = c.get(ctx, path, url.Values{"labelSelector": {selector}, "watch": {"true"}, "resourceVersion": {list.Metadata.ResourceVersion}})
	if err != nil {
		return err
	}
	defer body.Close()
	for stream := json.NewDecoder(body); ; {
		var event struct {
			Type   string `json:"type"`
			Object object `json:"object"`
		}
		if err := stream.Decode(&event); err != nil {
			return errors.New("the watch has ended, it begins anew")
		}
		switch event.Type {
		case "ERROR":
			return errors.New("the watch has ended: " + event.Object.Message)
		case "DELETED":
			delete(all, event.Object.Metadata.Name)
		default:
			all[event.Object.Metadata.Name] = event.Object
		}
		if ok, err := look(all); ok || err != nil {
			return err
		}
	}
}

func (c *client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, fmt.Errorf("the pod's token can't be read: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		const most = 1 << 10
		text, _ := io.ReadAll(io.LimitReader(response.Body, most))
		response.Body.Close()
		return nil, fmt.Errorf("the API server answers %s: %s", response.Status, text)
	}
	return response.Body, nil
}
