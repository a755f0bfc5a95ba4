// SPDX-License-Identifier: Apache-2.0

package cases

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

var saying sync.Mutex

// Member is the name of the group member that this program is to be, with the group; empty when it is to run its cases.
func (r *Report) Member() (group, name string) {
	if len(os.Args) > 5 && os.Args[4] == "--member" {
		return os.Args[3], os.Args[5]
	}
	return "", ""
}

// Say prints that partitions came or went, as ../confluent/members.py does.
func Say(what, name string, partitions []int32) {
	saying.Lock()
	defer saying.Unlock()
	if len(partitions) > 0 {
		fmt.Println(what, name, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(partitions)), ","), "[]"))
	}
}

// SayRecord prints that a member has read a record.
func SayRecord(name string, partition int32, offset int64) {
	saying.Lock()
	defer saying.Unlock()
	fmt.Println("r", name, partition, offset)
}

// SayError prints what went wrong with a member.
func SayError(name string, err error) {
	saying.Lock()
	defer saying.Unlock()
	fmt.Println("e", name, err)
}
