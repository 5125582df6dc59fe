//! What the user reads about a Pod: one small input a row, and the whole error.

use super::messages::{Rows, check, pod};

#[test]
fn fields_that_are_refused() {
    let rows: Rows<'_> = &[
        (
            "    lifecycle: {preStop: {tcpSocket: {port: 80}}}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.preStop.tcpSocket: Kubernetes deprecated it, and the kubelet fails every such hook; exec, httpGet and sleep work",
            ],
        ),
        (
            "    livenessProbe: {httpGet: {port: 80, protocol: HTTP2}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.httpGet.protocol: \"HTTP2\": podling speaks HTTP/1.1 here (HTTP1), and HTTP/2 without TLS is alpha in Kubernetes too",
            ],
        ),
        (
            "  readinessGates: [{conditionType: a/b}]",
            &["pod.yaml:8: spec.readinessGates: there is nobody to set the condition, so the pod would never be ready"],
        ),
        (
            "  ephemeralContainers: [{name: d, image: i}]",
            &[
                "pod.yaml:8: spec.ephemeralContainers: they are added to a running pod, as podling debug does, and never written in its YAML",
            ],
        ),
        (
            "    ports: [{containerPort: 80, hostPort: 80}]",
            &[
                "pod.yaml:8: spec.containers[0].ports[0].hostPort: podling publishes no port of a pod's own network",
                "  podling port-forward reaches the pod's ports from this host; with hostNetwork: true they are the host's",
            ],
        ),
        (
            "  hostPID: true",
            &[
                "pod.yaml:8: spec.hostPID: true: the end of its first process ends a pod's pid namespace, and so leaves nothing behind; in the host's nothing would end what a dead supervisor leaves, and only the host's root may go back there",
            ],
        ),
        (
            "    securityContext: {windowsOptions: {hostProcess: true}}",
            &["pod.yaml:8: spec.containers[0].securityContext.windowsOptions: podling runs Linux containers"],
        ),
        (
            "    resources: {limits: {ephemeral-storage: 1Gi, nvidia.com/gpu: 1}}",
            &[
                "pod.yaml:8: spec.containers[0].resources.limits.ephemeral-storage: nothing here measures what a container writes; leave limits out here: requests may stay",
                "pod.yaml:8: spec.containers[0].resources.limits[nvidia.com/gpu]: this machine offers cpu, memory and ephemeral-storage only",
            ],
        ),
        (
            "    resources: {limits: {memory: 1Gi}, requests: {cpu: 100m, nvidia.com/gpu: 1}}",
            &[
                "pod.yaml:8: spec.containers[0].resources.limits.memory: a limit needs control groups, which podling does not make, so nothing would hold a container to it; leave limits out here: requests may stay",
                "pod.yaml:8: spec.containers[0].resources.requests[nvidia.com/gpu]: this machine offers cpu, memory and ephemeral-storage only",
            ],
        ),
    ];
    check(rows, pod);
}

#[test]
fn wrong_types() {
    let rows: Rows<'_> = &[
        (
            "    ports: [{containerPort: '80'}]",
            &[
                "pod.yaml:8: spec.containers[0].ports[0].containerPort: expected a whole number, found the text \"80\"",
                "  remove the quotes: 80",
            ],
        ),
        (
            "    ports: [{containerPort: 80.5}, {containerPort: 99999999999}]",
            &[
                "pod.yaml:8: spec.containers[0].ports[0].containerPort: expected a whole number, found the number 80.5",
                "pod.yaml:8: spec.containers[0].ports[1].containerPort: expected a whole number up to 2147483647, found the number 99999999999",
            ],
        ),
        (
            "    command: nginx -g",
            &[
                "pod.yaml:8: spec.containers[0].command: expected a list, found the text \"nginx -g\"",
                "  write a list: [\"nginx\", \"-g\"]",
            ],
        ),
        (
            "    command: sh -c 'a b'",
            &[
                "pod.yaml:8: spec.containers[0].command: expected a list, found the text \"sh -c 'a b'\"",
                "  write a list: [\"sh -c 'a b'\"]",
            ],
        ),
        (
            "    args: [1]",
            &["pod.yaml:8: spec.containers[0].args[0]: expected a text, found the number 1", "  quote it: \"1\""],
        ),
        (
            "    env: {A: b}",
            &[
                "pod.yaml:8: spec.containers[0].env: expected a list, found a mapping",
                "  put \"- \" before the first field of each item",
            ],
        ),
        (
            "    env:\n    - A=b",
            &[
                "pod.yaml:9: spec.containers[0].env[0]: expected a mapping of fields, found the text \"A=b\"",
                "  write {name: \"A\", value: \"b\"}",
            ],
        ),
        (
            "    env:\n    - name: A\n      value: 8080\n    - name: B\n      value: yes",
            &[
                "pod.yaml:10: spec.containers[0].env[0].value: expected a text, found the number 8080",
                "  quote it: \"8080\"",
                "pod.yaml:12: spec.containers[0].env[1].value: expected a text, found the boolean yes (which YAML reads as true)",
                "  quote it: \"yes\"",
            ],
        ),
        (
            "    volumeMounts: x\n  volumes: 1",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts: expected a list, found the text \"x\"",
                "  write a list: [\"x\"]",
                "pod.yaml:9: spec.volumes: expected a list, found the number 1",
            ],
        ),
        ("    tty: 1", &["pod.yaml:8: spec.containers[0].tty: expected true or false, found the number 1"]),
        (
            "    securityContext: [a]",
            &[
                "pod.yaml:8: spec.containers[0].securityContext: expected a mapping of fields, found a list",
                "  remove the \"- \" before its fields",
            ],
        ),
        (
            "    securityContext:\n    - runAsUser: 1",
            &[
                "pod.yaml:8: spec.containers[0].securityContext: expected a mapping of fields, found a list",
                "  remove the \"- \" before its fields",
            ],
        ),
        (
            "  hostNetwork: 'true'",
            &[
                "pod.yaml:8: spec.hostNetwork: expected true or false, found the text \"true\"",
                "  remove the quotes: true",
            ],
        ),
        (
            "  volumes: [{name: d, secret: {secretName: x, defaultMode: '0400'}}]",
            &[
                "pod.yaml:8: spec.volumes[0].secret.defaultMode: expected a whole number, found the text \"0400\"",
                "  remove the quotes: 0400",
            ],
        ),
        ("  - d", &["pod.yaml:8: spec.containers[1]: expected a mapping of fields, found the text \"d\""]),
        ("  -", &["pod.yaml:8: spec.containers[1]: expected a mapping of fields, found nothing"]),
        (
            "    args: [\"a\\0b\"]",
            &["pod.yaml:8: spec.containers[0].args[0]: holds a NUL character, which the kernel would cut it at"],
        ),
        (
            "  terminationGracePeriodSeconds: 1m",
            &["pod.yaml:8: spec.terminationGracePeriodSeconds: expected a whole number, found the text \"1m\""],
        ),
    ];
    check(rows, pod);
}

#[test]
fn values() {
    let rows: Rows<'_> = &[
        (
            "    ports: [{containerPort: 0}, {containerPort: 70000, protocol: tcp, name: A}]",
            &[
                "pod.yaml:8: spec.containers[0].ports[0].containerPort: required, 1 to 65535",
                "pod.yaml:8: spec.containers[0].ports[1].containerPort: 70000 is outside 1 to 65535",
                "pod.yaml:8: spec.containers[0].ports[1].protocol: expected TCP, UDP or SCTP, found \"tcp\"",
                "  did you mean \"TCP\"?",
                "pod.yaml:8: spec.containers[0].ports[1].name: \"A\" cannot name a port: lower-case letters, digits and single \"-\" between them, at least one letter, at most 15 characters",
            ],
        ),
        (
            "    ports: [{containerPort: 80, name: a}, {containerPort: 81, name: a}]\n  - name: d\n    image: i\n    ports:\n    - containerPort: 80\n    - {containerPort: 80, protocol: UDP}",
            &[
                "pod.yaml:8: spec.containers[0].ports[1].name: the port name \"a\" is already used at pod.yaml:8",
                "pod.yaml:12: spec.containers[1].ports[0].containerPort: TCP port 80 is already taken at pod.yaml:8",
                "  the containers of a pod share one network: let one of them listen on another port",
            ],
        ),
        (
            "    env:\n    - name: A=\n    - value: x",
            &[
                "pod.yaml:9: spec.containers[0].env[0].name: \"A=\" cannot name a variable: printable ASCII characters without \"=\"",
                "pod.yaml:10: spec.containers[0].env[1].name: required",
            ],
        ),
        (
            "    env: [{name: A, valueFrom: {}}]",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom: expected one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef and fileKeyRef, found none",
            ],
        ),
        (
            "    env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}]",
            &["pod.yaml:8: spec.containers[0].env[0].valueFrom: a variable has a value or a valueFrom, found both"],
        ),
        (
            "    envFrom: [{}]",
            &["pod.yaml:8: spec.containers[0].envFrom[0]: envFrom has one of configMapRef and secretRef, found none"],
        ),
        (
            "    volumeMounts: [{name: data, mountPath: /x}]",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts[0].name: spec.volumes has no volume \"data\"",
                "  the pod has no volumes: write them under spec.volumes",
            ],
        ),
        (
            "    volumeMounts: [{name: dta, mountPath: '/x:y'}, {name: data}]\n  volumes: [{name: data, emptyDir: {}}]",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts[0].name: spec.volumes has no volume \"dta\"",
                "  did you mean \"data\"?",
                "pod.yaml:8: spec.containers[0].volumeMounts[0].mountPath: \"/x:y\" must not contain \":\"",
                "pod.yaml:8: spec.containers[0].volumeMounts[1].mountPath: required",
            ],
        ),
        (
            "    volumeMounts: [{name: d, mountPath: /x}, {name: d, mountPath: /x}]\n  volumes: [{name: d, emptyDir: {}}, {name: d}]",
            &[
                "pod.yaml:8: spec.containers[0].volumeMounts[1].mountPath: \"/x\" is already mounted at pod.yaml:8",
                "pod.yaml:9: spec.volumes[1].name: the volume \"d\" is already defined at pod.yaml:9",
                "pod.yaml:9: spec.volumes[1]: a volume has a source, found none",
                "  emptyDir: {} is an empty one",
            ],
        ),
        (
            "  volumes: [{name: d, emptyDir: {sizeLimit: 10MB}}]",
            &[
                "pod.yaml:8: spec.volumes[0].emptyDir.sizeLimit: \"10MB\" is not a quantity: a number, then m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei, or an exponent such as e3",
                "  did you mean 10M?",
            ],
        ),
        (
            "  volumes: [{name: d, emptyDir: {sizeLimit: -1}, configMap: {name: x, defaultMode: 644, optional: true}}]",
            &[
                "pod.yaml:8: spec.volumes[0]: a volume has one source, found configMap and emptyDir",
                "pod.yaml:8: spec.volumes[0].emptyDir.sizeLimit: \"-1\" must not be negative",
                "pod.yaml:8: spec.volumes[0].configMap.defaultMode: 644, 01204 in octal, is outside 0 to 0777",
                "  did you mean 0644?",
            ],
        ),
        (
            "  volumes: [{name: d, secret: {secretName: x, optional: true, items: [{key: k, path: ../x}, {path: /a, mode: 01000}]}}]",
            &[
                "pod.yaml:8: spec.volumes[0].secret.items[0].path: \"../x\" must not contain \"..\"",
                "pod.yaml:8: spec.volumes[0].secret.items[1].key: required",
                "pod.yaml:8: spec.volumes[0].secret.items[1].path: \"/a\" must be a relative path",
                "pod.yaml:8: spec.volumes[0].secret.items[1].mode: 512, 01000 in octal, is outside 0 to 0777",
            ],
        ),
        (
            "  - name: c\n    image: ''",
            &[
                "pod.yaml:8: spec.containers[1].name: the container \"c\" is already defined at pod.yaml:6",
                "pod.yaml:9: spec.containers[1].image: required",
            ],
        ),
        (
            "  - name: My_App\n    image: i",
            &[
                "pod.yaml:8: spec.containers[1].name: \"My_App\" is not a DNS label: lower-case letters, digits and \"-\", a letter or digit at both ends, at most 63 characters",
                "  for example \"my-app\"",
            ],
        ),
        (
            "  restartPolicy: never",
            &[
                "pod.yaml:8: spec.restartPolicy: expected Always, OnFailure or Never, found \"never\"",
                "  did you mean \"Never\"?",
            ],
        ),
        (
            "  terminationGracePeriodSeconds: -1",
            &["pod.yaml:8: spec.terminationGracePeriodSeconds: -1 must not be negative"],
        ),
        (
            "  hostname: A.b",
            &[
                "pod.yaml:8: spec.hostname: \"A.b\" is not a DNS label: lower-case letters, digits and \"-\", a letter or digit at both ends, at most 63 characters",
                "  for example \"a-b\"",
            ],
        ),
        (
            "    securityContext: {runAsUser: -1, capabilities: {add: [NET_ADMN, CAP_SYS_ADMIN], drop: [ALL]}, allowPrivilegeEscalation: false}",
            &[
                "pod.yaml:8: spec.containers[0].securityContext.runAsUser: -1 is outside 0 to 2147483647",
                "pod.yaml:8: spec.containers[0].securityContext.capabilities.add[0]: \"NET_ADMN\" is not a capability",
                "  did you mean \"NET_ADMIN\"?",
                "pod.yaml:8: spec.containers[0].securityContext.capabilities.add[1]: contradicts allowPrivilegeEscalation: false",
            ],
        ),
        (
            "  securityContext: {runAsNonRoot: true}\n  initContainers: [{name: x, image: i, securityContext: {runAsUser: 0}}]",
            &[
                "pod.yaml:9: spec.initContainers[0].securityContext.runAsUser: container's runAsUser breaks non-root policy: 0 is root, and runAsNonRoot is true",
            ],
        ),
        (
            "    resources: {requests: {cpu: 100x}}",
            &[
                "pod.yaml:8: spec.containers[0].resources.requests.cpu: \"100x\" is not a quantity: a number, then m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei, or an exponent such as e3",
            ],
        ),
        ("    workingDir: app", &["pod.yaml:8: spec.containers[0].workingDir: \"app\" is not an absolute path"]),
        (
            "    imagePullPolicy: always",
            &[
                "pod.yaml:8: spec.containers[0].imagePullPolicy: expected Always, IfNotPresent or Never, found \"always\"",
                "  did you mean \"Always\"?",
            ],
        ),
        (
            "    securityContext: {seccompProfile: {}, procMount: None}",
            &[
                "pod.yaml:8: spec.containers[0].securityContext.seccompProfile.type: required",
                "pod.yaml:8: spec.containers[0].securityContext.procMount: expected Default or Unmasked, found \"None\"",
            ],
        ),
        (
            "    securityContext: {privileged: true, allowPrivilegeEscalation: false, procMount: Unmasked}",
            &[
                "pod.yaml:8: spec.containers[0].securityContext.procMount: hostUsers must be false to use Unmasked",
                "  write hostUsers: false in the pod's spec",
                "pod.yaml:8: spec.containers[0].securityContext.allowPrivilegeEscalation: cannot be false where privileged is true",
            ],
        ),
        (
            "    securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../p}, appArmorProfile: {type: RuntimeDefault, localhostProfile: p}}",
            &[
                "pod.yaml:8: spec.containers[0].securityContext.seccompProfile.localhostProfile: \"../p\" must not contain \"..\"",
                "pod.yaml:8: spec.containers[0].securityContext.appArmorProfile.localhostProfile: may be there only where the type is Localhost",
            ],
        ),
        (
            "  securityContext: {seccompProfile: {type: Localhost}, appArmorProfile: {type: localhost}, seLinuxChangePolicy: Mount}",
            &[
                "pod.yaml:8: spec.securityContext.seccompProfile.localhostProfile: required where the type is Localhost",
                "pod.yaml:8: spec.securityContext.appArmorProfile.type: expected Localhost, RuntimeDefault or Unconfined, found \"localhost\"",
                "  did you mean \"Localhost\"?",
                "pod.yaml:8: spec.securityContext.seLinuxChangePolicy: expected MountOption or Recursive, found \"Mount\"",
            ],
        ),
        (
            "  securityContext: {sysctls: [{name: Net.x, value: a}, {name: kernel.sem, value: a}, {name: kernel.sem, value: a}, {name: net/a, value: a}]}\n  hostNetwork: true\n  hostIPC: true\n  hostUsers: false",
            &[
                "pod.yaml:8: spec.securityContext.sysctls[0].name: \"Net.x\" is not the name of a sysctl: lower case letters, digits, '-' and '_' between dots",
                "pod.yaml:8: spec.securityContext.sysctls[1].name: may not be there where hostIPC is true",
                "pod.yaml:8: spec.securityContext.sysctls[2].name: \"kernel.sem\" is already set at pod.yaml:8",
                "pod.yaml:8: spec.securityContext.sysctls[2].name: may not be there where hostIPC is true",
                "pod.yaml:8: spec.securityContext.sysctls[3].name: may not be there where hostNetwork is true",
                "pod.yaml:10: spec.hostIPC: forbidden where hostUsers is false",
            ],
        ),
        (
            "    ports: [{containerPort: 80, hostPort: 8080}]\n  hostNetwork: true",
            &["pod.yaml:8: spec.containers[0].ports[0].containerPort: must be the hostPort where hostNetwork is true"],
        ),
    ];
    check(rows, pod);
}

#[test]
fn references() {
    let rows: Rows<'_> = &[
        (
            "    envFrom: [{configMapRef: {name: web}}]",
            &[
                "pod.yaml:8: spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"web\"",
                "  add the ConfigMap, or its file to the command line, or write optional: true",
            ],
        ),
        (
            "    envFrom: [{configMapRef: {name: wbe}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {port: '80'}\nbinaryData: {icon: aGk=}\n",
            &[
                "pod.yaml:8: spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"wbe\"",
                "  did you mean \"web\"?",
            ],
        ),
        (
            "    envFrom: [{configMapRef: {name: other}}, {secretRef: {name: web}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {port: '80'}\nbinaryData: {icon: aGk=}\n",
            &[
                "pod.yaml:8: spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"other\"",
                "  add the ConfigMap, or its file to the command line, or write optional: true (there are: web)",
                "pod.yaml:8: spec.containers[0].envFrom[1].secretRef.name: the input has no Secret \"web\"",
                "  add the Secret, or its file to the command line, or write optional: true",
            ],
        ),
        (
            "    env: [{name: A, valueFrom: {configMapKeyRef: {name: web, key: prt}}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {port: '80'}\nbinaryData: {icon: aGk=}\n",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.configMapKeyRef.key: the ConfigMap \"web\" at pod.yaml:12 has no key \"prt\"",
                "  did you mean \"port\"?",
            ],
        ),
        (
            "    env: [{name: A, valueFrom: {configMapKeyRef: {name: web, key: icon}}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {port: '80'}\nbinaryData: {icon: aGk=}\n",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.configMapKeyRef.key: the ConfigMap \"web\" at pod.yaml:12 has no key \"icon\"",
                "  it has port",
            ],
        ),
        (
            "    env: [{name: A, valueFrom: {configMapKeyRef: {name: web, key: x, optional: true}}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {port: '80'}\nbinaryData: {icon: aGk=}\nfoo: 1",
            &[
                "pod.yaml:15: foo: unknown field",
                "  podling takes apiVersion, kind, metadata, binaryData, data, immutable here",
            ],
        ),
        (
            "  volumes: [{name: v, configMap: {name: web, items: [{key: icon, path: i}, {key: x, path: x}]}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {port: '80'}\nbinaryData: {icon: aGk=}\n",
            &[
                "pod.yaml:8: spec.volumes[0].configMap.items[1].key: the ConfigMap \"web\" at pod.yaml:12 has no key \"x\"",
                "  it has icon, port",
            ],
        ),
        (
            "  volumes: [{name: v, secret: {secretName: web}}]\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: other}\n",
            &[
                "pod.yaml:8: spec.volumes[0].secret.secretName: the input has no Secret \"web\"",
                "  there is one in the namespace \"other\"; a Pod sees its own namespace only",
            ],
        ),
    ];
    check(rows, pod);
}
